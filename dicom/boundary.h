/* LAM_NOEXCEPT marks the C functions that are implemented in C++ (dicom/dcmtk/): none of them throws. */
#ifndef LAMINA_DICOM_BOUNDARY_H
#define LAMINA_DICOM_BOUNDARY_H

#ifdef __cplusplus
#define LAM_NOEXCEPT noexcept
#else
#define LAM_NOEXCEPT
#endif

#endif
