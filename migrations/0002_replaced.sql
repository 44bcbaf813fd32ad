-- Instances that were replaced by others of the same UID ([storage] duplicates = replace).

-- How often: part of the input set, so that a series whose content changed is analysed again.
ALTER TABLE instance ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- Files of the store whose rows are gone. They are removed after the commit, and once more at the next start.
CREATE TABLE removed_file (file INTEGER PRIMARY KEY) STRICT;
