-- Numbers of jobs and deliveries are never given out again, also when the newest was deleted: who was told one, by an
-- answer or in a webhook's X-Lamina-Delivery, must not meet another thing under it.

CREATE TABLE last_number (
    of TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO last_number
    SELECT 'job', coalesce(max(id), 0) FROM job UNION ALL SELECT 'delivery', coalesce(max(id), 0) FROM delivery;

CREATE TRIGGER job_numbered AFTER INSERT ON job BEGIN
    UPDATE last_number SET number = max(number, NEW.id) WHERE of = 'job';
END;
CREATE TRIGGER delivery_numbered AFTER INSERT ON delivery BEGIN
    UPDATE last_number SET number = max(number, NEW.id) WHERE of = 'delivery';
END;
