#include "dicom/dcmtk/guard.h"

#include <dcmtk/dcmdata/dcerror.h>
#include <dcmtk/ofstd/ofstd.h>

namespace
{
struct Row {
    const OFConditionConst *condition;
    lam_status status;
};

/* Everything not listed is LAM_E_INVALID when it comes from reading data: DCMTK says no to what it is given.
 */
const Row rows[] = {
    {&EC_MemoryExhausted, LAM_E_NO_MEMORY},
    {&EC_TagNotFound, LAM_E_NOT_FOUND},
    {&EC_EndOfStream, LAM_E_CORRUPT},
    {&EC_InvalidStream, LAM_E_CORRUPT}, /* what is read lies in memory */
    {&EC_CorruptedData, LAM_E_CORRUPT},
    {&EC_StreamNotifyClient, LAM_E_CORRUPT},
    {&EC_CannotChangeRepresentation, LAM_E_UNSUPPORTED},
    {&EC_UnsupportedEncoding, LAM_E_UNSUPPORTED},
    {&EC_TooManyBytesRequested, LAM_E_LIMIT},
    {&EC_ItemEnd, LAM_E_CORRUPT},
    {&EC_SequEnd, LAM_E_CORRUPT},
};
} // namespace

lam_status lam_condition_status(const OFCondition &condition, const char *what, lam_error *err) noexcept
{
    if (condition.good())
        return LAM_OK;
    lam_status status = LAM_E_INVALID;
    for (const Row &row : rows)
        if (condition == *row.condition)
            status = row.status;
    return lam_fail(err, status, "%s: %s", what, condition.text());
}
