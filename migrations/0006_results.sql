-- Result objects in the variants that destinations want, and those that may not leave.

ALTER TABLE result_object ADD COLUMN profile TEXT NOT NULL DEFAULT 'strict';

-- What the rules of dicom/validate.h say against it, a JSON array of texts; NULL: it passed. Such an object is
-- kept and shown, and never sent.
ALTER TABLE result_object ADD COLUMN problems TEXT;

-- Which types of objects a destination is sent.
ALTER TABLE destination ADD COLUMN objects TEXT NOT NULL DEFAULT 'SEG SR';
