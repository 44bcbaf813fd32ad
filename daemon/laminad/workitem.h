/* A workitem (Unified Procedure Step, PS3.3 section C.30) by itself: its states and the only ways from one to
 * another, what its data set has to have, and what Lamina reads in it as a performer. No database: the rows
 * are worklist.h, the performing is performer.h. */
#ifndef LAMINA_DAEMON_WORKITEM_H
#define LAMINA_DAEMON_WORKITEM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LAM_UPS_PUSH "1.2.840.10008.5.1.4.34.6.1" /* the SOP class of every workitem */

/* Tags that more than one file names. */
#define LAM_UPS_STATE       "00741000"
#define LAM_UPS_TRANSACTION "00081195"
#define LAM_UPS_PROGRESS    "00741002" /* Procedure Step Progress Information Sequence */
#define LAM_UPS_PERFORMED   "00741216" /* Unified Procedure Step Performed Procedure Sequence */
#define LAM_UPS_INPUT       "00404021" /* Input Information Sequence */
#define LAM_UPS_WORK        "00404018" /* Scheduled Workitem Code Sequence */
#define LAM_UPS_WHY         "0074100E" /* Procedure Step Discontinuation Reason Code Sequence */

/* ---- states ---- */

typedef enum lam_workitem_state {
    LAM_WORKITEM_SCHEDULED,
    LAM_WORKITEM_IN_PROGRESS,
    LAM_WORKITEM_COMPLETED,
    LAM_WORKITEM_CANCELED,
    LAM_WORKITEM_STATES
} lam_workitem_state;

/* "SCHEDULED" and so on, as in Procedure Step State (0074,1000) and in the database. */
const char *lam_workitem_state_name(lam_workitem_state state);
bool lam_workitem_state_parse(const char *name, lam_workitem_state *out);

/* The Transaction UID that a request shows. */
typedef enum lam_workitem_key {
    LAM_WORKITEM_KEY_MISSING,
    LAM_WORKITEM_KEY_WRONG, /* or no UID */
    LAM_WORKITEM_KEY_RIGHT, /* any UID, for a workitem that is SCHEDULED */
    LAM_WORKITEM_KEYS
} lam_workitem_key;

/* Status codes of PS3.4 tables CC.2.1-2, CC.2.2-2 and CC.2.6-2. */
enum {
    LAM_UPS_OK = 0x0000,
    LAM_UPS_ALREADY_CANCELED = 0xB304,
    LAM_UPS_ALREADY_COMPLETED = 0xB306,
    LAM_UPS_NO_LONGER = 0xC300,
    LAM_UPS_KEY = 0xC301,
    LAM_UPS_IN_PROGRESS = 0xC302,
    LAM_UPS_ONLY_CREATED = 0xC303,
    LAM_UPS_NOT_FINAL = 0xC304,
    LAM_UPS_UNKNOWN = 0xC307,
    LAM_UPS_NOT_YET = 0xC310,
    LAM_UPS_COMPLETED = 0xC311,
    LAM_UPS_NO_CONTACT = 0xC312,
};

/* Change UPS State (PS3.4 table CC.1.1-2): LAM_UPS_OK, a warning (Bxxx) that nothing changes, or the refusal.
 * Final state requirements are asked for by lam_workitem_is_final. */
uint16_t lam_workitem_judge_state(lam_workitem_state now, lam_workitem_state wanted, lam_workitem_key key);
/* Request UPS Cancel (section CC.2.2.3). `ours`: Lamina is the performer. */
uint16_t lam_workitem_judge_cancel(lam_workitem_state now, bool ours);
/* Set attributes (section CC.2.6). */
uint16_t lam_workitem_judge_update(lam_workitem_state now, lam_workitem_key key);

/* Turns a code into a status and a message that has it; *warning becomes the text of PS3.18
 * sections 11.6.3.2, 11.7.3.2 and 11.8.3.2 for the Warning header, a constant, or NULL. */
lam_status lam_workitem_answer(uint16_t code, lam_workitem_key key, const char **warning, lam_error *err);

/* ---- the data set ---- */

/* What a data set has to have when it is created, and must not have (PS3.4 table CC.2.5-3); LAM_E_INVALID
 * names all that is wrong. */
lam_status lam_workitem_check_new(const json_t *data_set, lam_error *err);
/* Sets the attributes of `changes` in `data_set`, whole sequences, unless one may not be set any more. The
 * result has what it has to have; *data_set is spoilt otherwise. */
lam_status lam_workitem_merge(json_t *data_set, const json_t *changes, lam_error *err);
/* Whether the requirements of the final state are met (the same table). For CANCELED what is missing is
 * added. */
bool lam_workitem_is_final(json_t *data_set, lam_workitem_state state, int64_t now_ms);
/* Fills in Procedure Step Progress Information for a workitem that will not be completed; `code` is an item
 * of a code sequence, taken, or NULL for "unspecified reason". */
void lam_workitem_discontinue(json_t *data_set, json_t *code, const char *reason, int64_t now_ms);
/* Procedure Step Progress Information, made where it is not there. Borrowed. */
json_t *lam_workitem_progress(json_t *data_set);

/* ---- the plan ---- */

/* What is to be done, by Scheduled Workitem Code or Scheduled Processing Parameters. */
typedef enum lam_workitem_work {
    LAM_WORK_NONE,   /* not said */
    LAM_WORK_KNOWN,  /* image processing, computer aided detection or diagnosis (CID 9231), or a model */
    LAM_WORK_UNKNOWN /* something else */
} lam_workitem_work;

typedef struct lam_workitem_plan {
    lam_workitem_work work;
    const char *model; /* borrowed from the data set; NULL: those that want the input */
    bool addressed;    /* Scheduled Station Name has the AE title */
    bool open;         /* it names nobody */
    bool ready;        /* Input Readiness State is READY */
    int priority;      /* 0 HIGH … 2 LOW */
    int64_t start_ms;
    int64_t expires_ms; /* Expiration or Expected Completion; 0: neither */
} lam_workitem_plan;

void lam_workitem_read_plan(const json_t *data_set, const char *ae_title, lam_workitem_plan *out);

#ifdef __cplusplus
}
#endif
#endif
