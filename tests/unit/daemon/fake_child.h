/* Stand-ins for lamina-worker and lamina-dimse that do as the objects they are given say. A test program
 * plays them itself: laminad starts it under their names, through links in a folder of the test's own. Tests
 * only. */
#ifndef LAMINA_TESTS_DAEMON_FAKE_CHILD_H
#define LAMINA_TESTS_DAEMON_FAKE_CHILD_H

#include <stdbool.h>

/* To be called first in main: when the program was started as a child it plays its part and does not return.
 */
void fake_child_play(const char *program);

/* From now on children are this program, found in `directory`/bin. */
void fake_child_install(const char *directory);
/* From now on `name` is another program (/bin/false), or is missing (NULL). */
void fake_child_replace(const char *directory, const char *name, const char *program);

/* What an object may say to the worker, at its beginning; anything else is taken for the payload of INDEXED.
 */
#define FAKE_CRASH  "CRASH"
#define FAKE_HANG   "HANG"
#define FAKE_REFUSE "REFUSE"
#define FAKE_BABBLE "BABBLE"
/* Crashes unless the file named up to the next line end exists, which it makes; then the payload follows. */
#define FAKE_ONCE "ONCE "

/* An archive for lamina-worker is the payload of UNPACKED that it shall answer and, line by line, the objects
 * that it unpacks into the outputs, in their order. */

/* lamina-dimse stands at its listening socket. Whoever connects sends one word and, up to the end of the
 * stream, an object: */
#define FAKE_STORE    "STORE "    /* stores it; answers with status and comment in one line */
#define FAKE_VANISH   "VANISH "   /* hands it over and ends without waiting */
#define FAKE_LITTER   "LITTER "   /* leaves it half written in the spool and ends */
#define FAKE_NONSENSE "NONSENSE " /* breaks the protocol */

#endif
