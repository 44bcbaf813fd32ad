#include "dicom/pdata.h"

#include <string.h>

#include "dicom/bytes.h"

enum {
    HEAD = LAM_PDATA_HEAD_BYTES,
    PDU_DATA = 0x04,
    ITEM_EXTRA = 2, /* an item's length counts its context and its control byte */
    LAST = 0x02,    /* in the control byte: no fragment follows */
};

static void put_be32(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

void lam_pdata_init(lam_pdata *pdata, uint32_t most, uint32_t agreed)
{
    *pdata = (lam_pdata){.most = most, .agreed = agreed};
}

/* The heads of a PDU with one fragment of `length` bytes. */
static void make_heads(lam_pdata *p, uint32_t length, uint8_t control)
{
    p->made[0] = PDU_DATA;
    p->made[1] = 0;
    put_be32(p->made + 2, HEAD + length);
    put_be32(p->made + HEAD, ITEM_EXTRA + length);
    p->made[HEAD + 4] = p->id;
    p->made[HEAD + 5] = control;
    p->made_at = 0;
    p->made_length = sizeof p->made;
}

static void make_piece(lam_pdata *p)
{
    uint32_t length = p->item < p->most - HEAD ? p->item : p->most - HEAD;
    p->item -= length;
    make_heads(p, length, p->item ? (uint8_t)(p->control & ~LAST) : p->control);
    p->through = length;
}

/* A PDU that the upper layer refuses, in place of one that makes no sense. */
static void make_contradiction(lam_pdata *p)
{
    make_heads(p, 0, p->control);
    put_be32(p->made + HEAD, UINT32_MAX);
    p->pdu = 0;
}

static void take_pdu(lam_pdata *p, const uint8_t *head)
{
    uint32_t length = lam_be32(head + 2);
    if (head[0] == PDU_DATA && length <= p->agreed) {
        if (length < HEAD)
            make_contradiction(p);
        else
            p->pdu = length;
        return;
    }
    memcpy(p->made, head, HEAD);
    p->made_at = 0;
    p->made_length = HEAD;
    p->through = length;
}

/* The item must lie in its PDU, and what is left of that must be able to hold another or be nothing. */
static void take_item(lam_pdata *p, const uint8_t *head)
{
    uint32_t length = lam_be32(head), room = p->pdu - 4;
    uint32_t rest = length <= room ? room - length : 0;
    p->id = head[4];
    p->control = head[5];
    if (length < ITEM_EXTRA || length > room || (rest && rest < HEAD)) {
        make_contradiction(p);
        return;
    }
    p->pdu = rest;
    p->item = length - ITEM_EXTRA;
    make_piece(p);
}

void lam_pdata_take(lam_pdata *pdata, const uint8_t head[LAM_PDATA_HEAD_BYTES])
{
    if (pdata->pdu)
        take_item(pdata, head);
    else
        take_pdu(pdata, head);
}

size_t lam_pdata_made(lam_pdata *pdata, uint8_t *bytes, size_t length)
{
    if (pdata->made_at == pdata->made_length && !pdata->through && pdata->item)
        make_piece(pdata);
    size_t left = pdata->made_length - pdata->made_at;
    size_t taken = length < left ? length : left;
    memcpy(bytes, pdata->made + pdata->made_at, taken);
    pdata->made_at += taken;
    return taken;
}

uint32_t lam_pdata_through(const lam_pdata *pdata)
{
    return pdata->through;
}

void lam_pdata_passed(lam_pdata *pdata, uint32_t length)
{
    pdata->through -= length;
}
