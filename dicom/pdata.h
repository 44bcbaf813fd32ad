/* P-DATA-TF PDUs (PS3.8 section 9.3.5) for an upper layer that takes short ones with one fragment:
 * DCMTK 3.6.7 knows no long ones, and loses its way in a PDU that has more than two fragments of several
 * lengths, past the end of its buffer. What comes from the peer is handed on byte for byte, except that each
 * fragment gets a PDU of its own, and one that is too long for that several. Nothing is kept but headers, so
 * a long PDU costs no memory. No sockets here; who reads does this:
 *
 *     lam_pdata_made       gives bytes that are ready: hand them on first
 *     lam_pdata_through    so many bytes of the peer come next as they are: read, hand on, lam_pdata_passed
 *     else                 read LAM_PDATA_HEAD_BYTES and give them to lam_pdata_take */
#ifndef LAMINA_DICOM_PDATA_H
#define LAMINA_DICOM_PDATA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_PDATA_HEAD_BYTES = 6 }; /* of a PDU, and of an item in it */

typedef struct lam_pdata {
    uint32_t most, agreed;
    uint8_t made[2 * LAM_PDATA_HEAD_BYTES];
    size_t made_at, made_length;
    uint32_t through;
    uint32_t item;       /* bytes of the fragment at hand that no PDU has been made for */
    uint32_t pdu;        /* bytes of the peer's PDU behind it */
    uint8_t id, control; /* of the fragment (PS3.8 annex E.2) */
} lam_pdata;

/* No PDU that is handed on has more than `most` bytes (at least 4096). Those of more than `agreed` are handed
 * on as they are: it is for the upper layer to refuse them. */
void lam_pdata_init(lam_pdata *pdata, uint32_t most, uint32_t agreed);

/* Takes up to `length` of the bytes that are ready; how many. */
size_t lam_pdata_made(lam_pdata *pdata, uint8_t *bytes, size_t length);

uint32_t lam_pdata_through(const lam_pdata *pdata);
void lam_pdata_passed(lam_pdata *pdata, uint32_t length);

/* A header from the peer. One whose lengths contradict each other is handed on in a PDU that does so too. */
void lam_pdata_take(lam_pdata *pdata, const uint8_t head[LAM_PDATA_HEAD_BYTES]);

#ifdef __cplusplus
}
#endif
#endif
