#include "daemon/laminad/attribute.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

#define STUDY    LAM_LEVEL_STUDY
#define SERIES   LAM_LEVEL_SERIES
#define INSTANCE LAM_LEVEL_INSTANCE
#define TEXT     LAM_MATCH_TEXT
#define CODE     LAM_MATCH_CODE
#define UID      LAM_MATCH_UID
#define DATE     LAM_MATCH_DATE
#define TIME     LAM_MATCH_TIME
#define NAME     LAM_MATCH_NAME
#define NUMBER   LAM_MATCH_NUMBER
#define NEVER    LAM_MATCH_NEVER

/* clang-format off */
/* In the order of the tags. */
static const lam_attribute table[] = {
    {0x00080005, "SpecificCharacterSet", STUDY, NEVER, NULL, true},
    {0x00080008, "ImageType", INSTANCE, CODE, NULL, false},
    {0x00080012, "InstanceCreationDate", INSTANCE, DATE, NULL, false},
    {0x00080013, "InstanceCreationTime", INSTANCE, TIME, NULL, false},
    {0x00080016, "SOPClassUID", INSTANCE, UID, "sop_class_uid", true},
    {0x00080018, "SOPInstanceUID", INSTANCE, UID, "uid", true},
    {0x00080020, "StudyDate", STUDY, DATE, "study_date", true},
    {0x00080021, "SeriesDate", SERIES, DATE, NULL, false},
    {0x00080022, "AcquisitionDate", INSTANCE, DATE, NULL, false},
    {0x00080023, "ContentDate", INSTANCE, DATE, NULL, false},
    {0x0008002A, "AcquisitionDateTime", INSTANCE, TEXT, NULL, false},
    {0x00080030, "StudyTime", STUDY, TIME, "study_time", true},
    {0x00080031, "SeriesTime", SERIES, TIME, NULL, false},
    {0x00080032, "AcquisitionTime", INSTANCE, TIME, NULL, false},
    {0x00080033, "ContentTime", INSTANCE, TIME, NULL, false},
    {0x00080050, "AccessionNumber", STUDY, TEXT, "accession_number", true},
    {0x00080051, "IssuerOfAccessionNumberSequence", STUDY, NEVER, NULL, false},
    {0x00080056, "InstanceAvailability", STUDY, NEVER, NULL, true},
    {0x00080060, "Modality", SERIES, CODE, "modality", true},
    {0x00080061, "ModalitiesInStudy", STUDY, LAM_MATCH_MODALITIES, "modalities", true},
    {0x00080068, "PresentationIntentType", SERIES, CODE, NULL, false},
    {0x00080070, "Manufacturer", SERIES, TEXT, NULL, false},
    {0x00080080, "InstitutionName", SERIES, TEXT, NULL, false},
    {0x00080090, "ReferringPhysicianName", STUDY, NAME, "referring_key", true},
    {0x00080096, "ReferringPhysicianIdentificationSequence", STUDY, NEVER, NULL, false},
    {0x0008009C, "ConsultingPhysicianName", STUDY, NEVER, NULL, false},
    {0x00080201, "TimezoneOffsetFromUTC", STUDY, TEXT, NULL, true},
    {0x00081010, "StationName", SERIES, TEXT, NULL, false},
    {0x00081030, "StudyDescription", STUDY, TEXT, "description", true},
    {0x00081032, "ProcedureCodeSequence", STUDY, NEVER, NULL, false},
    {0x0008103E, "SeriesDescription", SERIES, TEXT, "description", true},
    {0x0008103F, "SeriesDescriptionCodeSequence", SERIES, NEVER, NULL, false},
    {0x00081040, "InstitutionalDepartmentName", SERIES, TEXT, NULL, false},
    {0x00081048, "PhysiciansOfRecord", STUDY, NEVER, NULL, false},
    {0x00081050, "PerformingPhysicianName", SERIES, NEVER, NULL, false},
    {0x00081060, "NameOfPhysiciansReadingStudy", STUDY, NEVER, NULL, false},
    {0x00081070, "OperatorsName", SERIES, NEVER, NULL, false},
    {0x00081080, "AdmittingDiagnosesDescription", STUDY, TEXT, NULL, false},
    {0x00081090, "ManufacturerModelName", SERIES, TEXT, NULL, false},
    {0x00081110, "ReferencedStudySequence", STUDY, NEVER, NULL, false},
    {0x00081190, "RetrieveURL", STUDY, NEVER, NULL, true},
    {0x00100010, "PatientName", STUDY, NAME, "name_key", true},
    {0x00100020, "PatientID", STUDY, TEXT, "patient_id", true},
    {0x00100021, "IssuerOfPatientID", STUDY, TEXT, NULL, false},
    {0x00100030, "PatientBirthDate", STUDY, DATE, "birth_date", true},
    {0x00100032, "PatientBirthTime", STUDY, TIME, NULL, false},
    {0x00100040, "PatientSex", STUDY, CODE, "sex", true},
    {0x00101001, "OtherPatientNames", STUDY, NEVER, NULL, false},
    {0x00101010, "PatientAge", STUDY, TEXT, NULL, false},
    {0x00101020, "PatientSize", STUDY, NUMBER, NULL, false},
    {0x00101030, "PatientWeight", STUDY, NUMBER, NULL, false},
    {0x00102160, "EthnicGroup", STUDY, TEXT, NULL, false},
    {0x00102180, "Occupation", STUDY, TEXT, NULL, false},
    {0x001021B0, "AdditionalPatientHistory", STUDY, TEXT, NULL, false},
    {0x00104000, "PatientComments", STUDY, TEXT, NULL, false},
    {0x00180015, "BodyPartExamined", SERIES, CODE, NULL, false},
    {0x00181000, "DeviceSerialNumber", SERIES, TEXT, NULL, false},
    {0x00181020, "SoftwareVersions", SERIES, TEXT, NULL, false},
    {0x00181030, "ProtocolName", SERIES, TEXT, NULL, false},
    {0x00185100, "PatientPosition", SERIES, CODE, NULL, false},
    {0x0020000D, "StudyInstanceUID", STUDY, UID, "uid", true},
    {0x0020000E, "SeriesInstanceUID", SERIES, UID, "uid", true},
    {0x00200010, "StudyID", STUDY, TEXT, "study_id", true},
    {0x00200011, "SeriesNumber", SERIES, NUMBER, "number", true},
    {0x00200012, "AcquisitionNumber", INSTANCE, NUMBER, NULL, false},
    {0x00200013, "InstanceNumber", INSTANCE, NUMBER, "number", true},
    {0x00200052, "FrameOfReferenceUID", SERIES, UID, NULL, false},
    {0x00200060, "Laterality", SERIES, CODE, NULL, false},
    {0x00201040, "PositionReferenceIndicator", SERIES, TEXT, NULL, false},
    {0x00201041, "SliceLocation", INSTANCE, NUMBER, NULL, false},
    {0x00201206, "NumberOfStudyRelatedSeries", STUDY, NUMBER, "series_count", true},
    {0x00201208, "NumberOfStudyRelatedInstances", STUDY, NUMBER, "instance_count", true},
    {0x00201209, "NumberOfSeriesRelatedInstances", SERIES, NUMBER, "instances", true},
    {0x00280002, "SamplesPerPixel", INSTANCE, NUMBER, NULL, false},
    {0x00280004, "PhotometricInterpretation", INSTANCE, CODE, NULL, false},
    {0x00280008, "NumberOfFrames", INSTANCE, NUMBER, NULL, true},
    {0x00280010, "Rows", INSTANCE, NUMBER, NULL, true},
    {0x00280011, "Columns", INSTANCE, NUMBER, NULL, true},
    {0x00280100, "BitsAllocated", INSTANCE, NUMBER, NULL, true},
    {0x00280101, "BitsStored", INSTANCE, NUMBER, NULL, false},
    {0x00321032, "RequestingPhysician", STUDY, NEVER, NULL, false},
    {0x00321060, "RequestedProcedureDescription", STUDY, TEXT, NULL, false},
    {0x00380010, "AdmissionID", STUDY, TEXT, NULL, false},
    {0x00400012, "PreMedication", STUDY, TEXT, NULL, false},
    {0x00400244, "PerformedProcedureStepStartDate", SERIES, DATE, NULL, true},
    {0x00400245, "PerformedProcedureStepStartTime", SERIES, TIME, NULL, true},
    {0x00400253, "PerformedProcedureStepID", SERIES, TEXT, NULL, false},
    {0x00400254, "PerformedProcedureStepDescription", SERIES, TEXT, NULL, false},
    {0x00400260, "PerformedProtocolCodeSequence", SERIES, NEVER, NULL, false},
    {0x00400275, "RequestAttributesSequence", SERIES, NEVER, NULL, true},
    {0x00401012, "ReasonForPerformedProcedureCodeSequence", STUDY, NEVER, NULL, false},
    {0x0040A491, "CompletionFlag", INSTANCE, CODE, NULL, false},
    {0x0040A493, "VerificationFlag", INSTANCE, CODE, NULL, false},
    {0x00420010, "DocumentTitle", INSTANCE, TEXT, NULL, false},
    {0x00700080, "ContentLabel", INSTANCE, CODE, NULL, false},
    {0x00700081, "ContentDescription", INSTANCE, TEXT, NULL, false},
};

#define WORKITEM LAM_LEVEL_WORKITEM
#define DATETIME LAM_MATCH_DATETIME
#define RETURNED(tag, keyword) {tag, keyword, WORKITEM, NEVER, NULL, true}

/* In the order of the tags. Sequences are searched in by their first item: ScheduledWorkitemCodeSequence.CodeValue. */
static const lam_attribute workitems[] = {
    RETURNED(0x00080005, "SpecificCharacterSet"),
    {0x00080016, "SOPClassUID", WORKITEM, UID, NULL, true},
    {0x00080018, "SOPInstanceUID", WORKITEM, UID, "uid", true},
    {0x00100010, "PatientName", WORKITEM, NAME, "name_key", true},
    {0x00100020, "PatientID", WORKITEM, TEXT, NULL, true},
    {0x00100021, "IssuerOfPatientID", WORKITEM, TEXT, NULL, true},
    {0x00100030, "PatientBirthDate", WORKITEM, DATE, NULL, true},
    {0x00100040, "PatientSex", WORKITEM, CODE, NULL, true},
    {0x0020000D, "StudyInstanceUID", LAM_LEVEL_INPUT, UID, "study_uid", false},
    {0x0020000E, "SeriesInstanceUID", LAM_LEVEL_INPUT, UID, "series_uid", false},
    {0x00380010, "AdmissionID", WORKITEM, TEXT, NULL, true},
    {0x00404005, "ScheduledProcedureStepStartDateTime", WORKITEM, DATETIME, NULL, true},
    {0x00404008, "ScheduledProcedureStepExpirationDateTime", WORKITEM, DATETIME, NULL, true},
    {0x00404010, "ScheduledProcedureStepModificationDateTime", WORKITEM, DATETIME, NULL, true},
    {0x00404011, "ExpectedCompletionDateTime", WORKITEM, DATETIME, NULL, true},
    RETURNED(0x00404018, "ScheduledWorkitemCodeSequence"),
    RETURNED(0x00404021, "InputInformationSequence"),
    RETURNED(0x00404025, "ScheduledStationNameCodeSequence"),
    RETURNED(0x00404026, "ScheduledStationClassCodeSequence"),
    RETURNED(0x00404027, "ScheduledStationGeographicLocationCodeSequence"),
    RETURNED(0x00404034, "ScheduledHumanPerformersSequence"),
    {0x00404041, "InputReadinessState", WORKITEM, CODE, NULL, true},
    RETURNED(0x0040A370, "ReferencedRequestSequence"),
    {0x00741000, "ProcedureStepState", WORKITEM, CODE, "state", true},
    RETURNED(0x00741002, "ProcedureStepProgressInformationSequence"),
    {0x00741200, "ScheduledProcedureStepPriority", WORKITEM, CODE, NULL, true},
    {0x00741202, "WorklistLabel", WORKITEM, TEXT, NULL, true},
    {0x00741204, "ProcedureStepLabel", WORKITEM, TEXT, NULL, true},
    RETURNED(0x00741210, "ScheduledProcessingParametersSequence"),
    RETURNED(0x00741216, "UnifiedProcedureStepPerformedProcedureSequence"),
    RETURNED(0x00741224, "ReplacedProcedureStepSequence"),
};
/* clang-format on */

static int compare_tags(const void *wanted, const void *row)
{
    uint32_t a = *(const uint32_t *)wanted, b = ((const lam_attribute *)row)->tag;
    return (a > b) - (a < b);
}

const lam_attribute *lam_attribute_of_tag(uint32_t tag)
{
    return bsearch(&tag, table, LAM_COUNT(table), sizeof table[0], compare_tags);
}

const lam_attribute *lam_attribute_at_level(lam_level level, uint32_t tag)
{
    if (level != LAM_LEVEL_WORKITEM)
        return lam_attribute_of_tag(tag);
    return bsearch(&tag, workitems, LAM_COUNT(workitems), sizeof workitems[0], compare_tags);
}

void lam_attribute_each_returned(lam_level level, void (*add)(void *context, uint32_t tag), void *context)
{
    const lam_attribute *from = level == LAM_LEVEL_WORKITEM ? workitems : table;
    size_t count = level == LAM_LEVEL_WORKITEM ? LAM_COUNT(workitems) : LAM_COUNT(table);
    for (size_t i = 0; i < count; i++)
        if (from[i].returned && from[i].level == level)
            add(context, from[i].tag);
}
