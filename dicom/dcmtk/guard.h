/* The one way out of C++: every extern "C" function here runs its body in lam_guard, so that no exception
 * reaches C, and every OFCondition becomes a status by one table. */
#ifndef LAMINA_DICOM_DCMTK_GUARD_H
#define LAMINA_DICOM_DCMTK_GUARD_H

#include <exception>
#include <new>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/ofstd/ofcond.h>

#include "core/base/status.h"

/* Fills `err` with "what: DCMTK's text" and returns the status the condition stands for; LAM_OK for a good
 * one. */
lam_status lam_condition_status(const OFCondition &condition, const char *what, lam_error *err) noexcept;

/* Runs `body` (returning lam_status) and turns exceptions into statuses. */
template <typename Body> lam_status lam_guard(lam_error *err, Body body) noexcept
{
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return lam_fail(err, LAM_E_NO_MEMORY, "out of memory");
    } catch (const std::exception &e) {
        return lam_fail(err, LAM_E_INTERNAL, "unexpected exception: %s", e.what());
    } catch (...) {
        return lam_fail(err, LAM_E_INTERNAL, "unexpected exception");
    }
}

/* The same for functions that answer with a value: `otherwise` when something is thrown. */
template <typename Value, typename Body> Value lam_guard_value(Value otherwise, Body body) noexcept
{
    try {
        return body();
    } catch (...) {
        return otherwise;
    }
}

#endif
