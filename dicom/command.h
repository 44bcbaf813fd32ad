/* Command sets of DIMSE messages (PS3.7 section 6.3 and annex E): the elements that storage,
 * verification and storage commitment use, always implicit VR little endian. Pure encoding, no sockets. */
#ifndef LAMINA_DICOM_COMMAND_H
#define LAMINA_DICOM_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/status.h"
#include "core/base/uid.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { LAM_COMMAND_MAX_BYTES = 16 * 1024 };

/* Command fields (PS3.7 table E.1-1); an answer is its request with the top bit set. */
enum {
    LAM_COMMAND_STORE = 0x0001,
    LAM_COMMAND_ECHO = 0x0030,
    LAM_COMMAND_CANCEL = 0x0fff,
    LAM_COMMAND_EVENT_REPORT = 0x0100,
    LAM_COMMAND_ACTION = 0x0130,
    LAM_COMMAND_RESPONSE = 0x8000,
};

enum { LAM_NO_DATA_SET = 0x0101, LAM_HAS_DATA_SET = 0x0000 }; /* any other value than 0101H has one */

/* Statuses (PS3.4 annex B.2.3, PS3.7 annex C). Ranges: A7xx, A9xx, Cxxx are as a whole what is named here. */
enum {
    LAM_DIMSE_SUCCESS = 0x0000,
    LAM_DIMSE_INVALID_INSTANCE = 0x0117,
    LAM_DIMSE_CLASS_NOT_SUPPORTED = 0x0122,
    LAM_DIMSE_PROCESSING_FAILURE = 0x0110,
    LAM_DIMSE_UNRECOGNIZED_OPERATION = 0x0211,
    LAM_DIMSE_OUT_OF_RESOURCES = 0xa700,
    LAM_DIMSE_DATA_SET_MISMATCH = 0xa900,
    LAM_DIMSE_CANNOT_UNDERSTAND = 0xc000,
};

/* 0: success, 1: stored with a warning (Bxxx and the general warnings), -1: failed. */
int lam_dimse_outcome(uint16_t status);

/* Which numbers a command has; texts are absent when "". */
enum {
    LAM_COMMAND_HAS_FIELD = 1,
    LAM_COMMAND_HAS_MESSAGE = 2,
    LAM_COMMAND_HAS_RESPONDED_TO = 4,
    LAM_COMMAND_HAS_PRIORITY = 8,
    LAM_COMMAND_HAS_DATA_SET_TYPE = 16,
    LAM_COMMAND_HAS_STATUS = 32,
    LAM_COMMAND_HAS_EVENT_TYPE = 64,
    LAM_COMMAND_HAS_ACTION_TYPE = 128,
};

typedef struct lam_command {
    unsigned has;
    uint16_t field;                        /* (0000,0100) */
    uint16_t message;                      /* (0000,0110) */
    uint16_t responded_to;                 /* (0000,0120) */
    uint16_t priority;                     /* (0000,0700) */
    uint16_t data_set_type;                /* (0000,0800) */
    uint16_t status;                       /* (0000,0900) */
    char sop_class[LAM_UID_TEXT];          /* (0000,0002) */
    char sop_instance[LAM_UID_TEXT];       /* (0000,1000) */
    char comment[65];                      /* (0000,0902) */
    uint16_t event_type;                   /* (0000,1002) */
    uint16_t action_type;                  /* (0000,1008) */
    char requested_class[LAM_UID_TEXT];    /* (0000,0003) */
    char requested_instance[LAM_UID_TEXT]; /* (0000,1001) */
} lam_command;

/* A request of ours without its texts: command field, message number, data set or not. */
lam_command lam_command_request(uint16_t field, uint16_t message, bool data_set);

/* The answer to `request` with its UIDs. */
lam_command lam_command_response(const lam_command *request, uint16_t status);

/* Elements we do not use are skipped. Errors: LAM_E_INVALID (elements that do not add up, no command field,
 * a request without a number, a response without status); LAM_E_LIMIT. */
lam_status lam_command_parse(const uint8_t *bytes, size_t length, lam_command *out, lam_error *err);

enum { LAM_COMMAND_TEXT = 512 }; /* the longest we write */
/* With its group length; returns the number of bytes. */
size_t lam_command_write(const lam_command *command, uint8_t out[LAM_COMMAND_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
