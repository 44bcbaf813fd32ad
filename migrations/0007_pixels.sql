-- Where the pixels of an instance lie in its file, as the header worker found them (LAM_MESSAGE_LAYOUT): its frames are
-- then sent without anybody parsing it. Instances from before have no row; a worker is asked when one is wanted.
CREATE TABLE pixels (
    instance_id INTEGER PRIMARY KEY REFERENCES instance (id) ON DELETE CASCADE,
    layout TEXT NOT NULL
) STRICT;
