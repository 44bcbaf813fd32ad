/* dicom/sop_class.h: every class that DCMTK's dictionary has as storage is one here; services are none. */
#include "dicom/sop_class.h"

#include "core/base/cleanup.h"
#include "tests/unit/unit.h"

/* DCMTK's list, dcmtk/dcmdata/dcuid.h, which is C++. */
extern const char *dcmAllStorageSOPClassUIDs[];
extern int numberOfDcmAllStorageSOPClassUIDs;

static void takes_every_storage_class_of_the_dictionary(void **state)
{
    (void)state;
    assert_true(numberOfDcmAllStorageSOPClassUIDs > 100);
    for (int i = 0; i < numberOfDcmAllStorageSOPClassUIDs; i++)
        if (!lam_sop_class_is_storage(dcmAllStorageSOPClassUIDs[i]))
            fail_msg("%s is not taken", dcmAllStorageSOPClassUIDs[i]);
}

static void tells_services_and_private_classes(void **state)
{
    (void)state;
    static const struct {
        const char *uid;
        bool storage, private;
    } cases[] = {
        {"1.2.840.10008.1.1", false, false},            /* Verification */
        {"1.2.840.10008.1.20.1", false, false},         /* Storage Commitment */
        {"1.2.840.10008.5.1.4.1.2.2.1", false, false},  /* C-FIND */
        {"1.2.840.10008.5.1.4.31", false, false},       /* worklist */
        {"1.2.840.10008.5.1.4.38.1", false, false},     /* hanging protocols: of no patient */
        {"1.2.840.10008.5.1.4.34.7", true, false},      /* RT Beams Delivery Instruction */
        {"1.2.840.10008.5.1.4.1.1.999.1", true, false}, /* of a later year */
        {"1.2.840.10008.5.1.4.1.1.", false, false},
        {"1.2.840.10008.5.1.4.1.1./x", false, false},
        {"1.2.840.113619.4.26", false, true},
        {"1.3.12.2.1107.5.9.1", false, true},
        {"not a uid", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < LAM_COUNT(cases); i++) {
        assert_int_equal(lam_sop_class_is_storage(cases[i].uid), cases[i].storage);
        assert_int_equal(lam_sop_class_is_private(cases[i].uid), cases[i].private);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_storage_class_of_the_dictionary),
        cmocka_unit_test(tells_services_and_private_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
