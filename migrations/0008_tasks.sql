-- What a job reads, and what each model said of a series.

-- The series of a job, one for each role of its model, and the input set of each. Position 0 is the job's own series; a
-- model that reads one series has no other, and no role.
CREATE TABLE job_input (
    job_id INTEGER NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    input_set TEXT NOT NULL,
    PRIMARY KEY (job_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_input_by_series ON job_input (series_id);
INSERT INTO job_input SELECT id, 0, '', series_id, input_set FROM job;

-- The jobs that have read, or would read, what their series hold today.
CREATE VIEW current_job AS
 SELECT j.id FROM job j WHERE NOT EXISTS (SELECT 1 FROM job_input i JOIN series s ON s.id = i.series_id
  WHERE i.job_id = j.id AND i.input_set IS NOT s.input_set);

-- Why a model runs on a series, and why another does not (promise 4), as of when the series was last complete.
CREATE TABLE opinion (
    series_id INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    wanted INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (series_id, model)
) STRICT, WITHOUT ROWID;
