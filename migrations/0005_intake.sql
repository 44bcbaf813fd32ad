-- When a series counts as complete.

-- Number of Study Related Instances (0020,1208) as the newest object of the study said; NULL where none did.
ALTER TABLE study ADD COLUMN announced INTEGER;

-- The quiet time of whoever sent the newest instance, where the configuration has one for it; NULL: the general one.
ALTER TABLE series ADD COLUMN quiet_ms INTEGER;
