/* What a lam_dataset is inside: a whole with its DCMTK data set, and handles of the items that were asked
 * for. Internal to this folder. */
#ifndef LAMINA_DICOM_DCMTK_DATASET_HANDLE_H
#define LAMINA_DICOM_DCMTK_DATASET_HANDLE_H

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcdatset.h>

#include "dicom/dataset.h"

namespace lamina
{
struct Whole;
}

struct lam_dataset {
    lamina::Whole *whole;
    DcmItem *item;
};

namespace lamina
{
struct Whole {
    DcmDataset data;
    DcmItem nowhere; // where writes go after a failure
    lam_dataset top{this, &data};
    lam_dataset spare{this, &nowhere};
    std::unordered_map<DcmItem *, std::unique_ptr<lam_dataset>> handles;
    std::string transfer_syntax;
    lam_error failure{};

    lam_dataset *handle_of(DcmItem *item)
    {
        std::unique_ptr<lam_dataset> &handle = handles[item];
        if (!handle)
            handle = std::make_unique<lam_dataset>(lam_dataset{this, item});
        return handle.get();
    }
};

/* Whether its pixels are written as 16-bit words. */
inline bool words(DcmItem *item)
{
    Uint16 allocated = 0;
    return item->findAndGetUint16(DcmTagKey(0x0028, 0x0100), allocated).good() && allocated > 8;
}
} // namespace lamina

#endif
