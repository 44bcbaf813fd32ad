/* Numbers in bytes, as DICOM files and messages have them. */
#ifndef LAMINA_DICOM_BYTES_H
#define LAMINA_DICOM_BYTES_H

#include <stdint.h>

static inline uint16_t lam_le16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t lam_le32(const uint8_t *at)
{
    return lam_le16(at) | (uint32_t)lam_le16(at + 2) << 16;
}

static inline uint64_t lam_le64(const uint8_t *at)
{
    return lam_le32(at) | (uint64_t)lam_le32(at + 4) << 32;
}

static inline uint16_t lam_be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t lam_be32(const uint8_t *at)
{
    return (uint32_t)lam_be16(at) << 16 | lam_be16(at + 2);
}

#endif
