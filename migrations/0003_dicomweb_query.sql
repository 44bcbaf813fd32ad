-- What searches (QIDO-RS) compare and return, kept by the writing side so that a search reads rows and counts nothing.
-- lam_fold_name() is laminad's own (daemon/laminad/fold.h): a person name without case and accents.

-- Attributes of each level as DICOM JSON, in the order of their tags; those of an instance are the few that searches return.
ALTER TABLE study ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE series ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE instance ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';

-- Person names folded, components ended by ^, groups by =.
ALTER TABLE study ADD COLUMN name_key TEXT;
ALTER TABLE study ADD COLUMN referring_key TEXT;
ALTER TABLE study ADD COLUMN modalities TEXT NOT NULL DEFAULT ''; -- \MR\SEG\
ALTER TABLE study ADD COLUMN series_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE study ADD COLUMN instance_count INTEGER NOT NULL DEFAULT 0;

CREATE INDEX study_by_name ON study (name_key);
CREATE INDEX study_by_accession ON study (accession_number);
CREATE INDEX series_by_uid ON series (uid);

-- The text is UTF-8 whatever the object's character set was.
UPDATE metadata SET attributes = json_replace(attributes, '$."00080005"', json('{"vr":"CS","Value":["ISO_IR 192"]}'))
 WHERE json_extract(attributes, '$."00080005"') IS NOT NULL;

-- The first instance of a study or series speaks for it, as it does for those that come from now on.
CREATE TEMP TABLE first_of_series AS
 SELECT series_id, min(id) AS instance_id FROM instance GROUP BY series_id;
CREATE TEMP TABLE first_of_study AS
 SELECT s.study_id, min(f.instance_id) AS instance_id FROM temp.first_of_series f JOIN series s ON s.id = f.series_id
 GROUP BY s.study_id;

UPDATE instance SET attributes = (
 SELECT json_group_object(e.key, json(e.value)) FROM metadata m, json_each(m.attributes) e
 WHERE m.instance_id = instance.id AND e.key IN ('00080008', '00080012', '00080013', '00080016', '00080018', '00080022',
  '00080023', '0008002A', '00080032', '00080033', '00200012', '00200013', '00201041', '00280002', '00280004', '00280008',
  '00280010', '00280011', '00280100', '00280101', '0040A491', '0040A493', '00700080', '00700081', '00420010'))
 WHERE EXISTS (SELECT 1 FROM metadata m WHERE m.instance_id = instance.id);
UPDATE series SET attributes = (
 SELECT json_group_object(e.key, json(e.value)) FROM temp.first_of_series f, metadata m, json_each(m.attributes) e
 WHERE f.series_id = series.id AND m.instance_id = f.instance_id AND length(e.value) <= 4096
  AND e.key IN ('00080021', '00080031', '00080060', '00080068', '00080070', '00080080', '00081010', '0008103E', '0008103F',
  '00081040', '00081050', '00081070', '00081090', '00180015', '00181000', '00181020', '00181030', '00185100', '0020000E',
  '00200011', '00200052', '00200060', '00201040', '00400244', '00400245', '00400253', '00400254', '00400260', '00400275'))
 WHERE id IN (SELECT series_id FROM temp.first_of_series);
UPDATE study SET attributes = (
 SELECT json_group_object(e.key, json(e.value)) FROM temp.first_of_study f, metadata m, json_each(m.attributes) e
 WHERE f.study_id = study.id AND m.instance_id = f.instance_id AND length(e.value) <= 4096
  AND (substr(e.key, 1, 4) = '0010' OR e.key IN ('00080020', '00080030', '00080050', '00080051', '00080090', '00080096',
  '0008009C', '00080201', '00081030', '00081032', '00081048', '00081060', '00081080', '00081110', '0020000D', '00200010',
  '00321032', '00321060', '00380010', '00400012', '00401012')))
 WHERE id IN (SELECT study_id FROM temp.first_of_study);

UPDATE study SET
 name_key = lam_fold_name(patient_name),
 referring_key = lam_fold_name(json_extract(attributes, '$."00080090".Value[0].Alphabetic')),
 series_count = (SELECT count(*) FROM series s WHERE s.study_id = study.id),
 instance_count = (SELECT coalesce(sum(s.instances), 0) FROM series s WHERE s.study_id = study.id),
 modalities = coalesce((SELECT '\' || group_concat(DISTINCT s.modality || '\') FROM series s
  WHERE s.study_id = study.id AND s.modality IS NOT NULL), '');
UPDATE study SET modalities = replace(modalities, '\,', '\');

DROP TABLE temp.first_of_series;
DROP TABLE temp.first_of_study;
