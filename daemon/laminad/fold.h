/* Person names as searches compare them: without case and accents (PS3.4 section C.2.2.2.1 leaves both to the
 * implementation), every component ended by ^, every group by =. Latin letters with marks become the plain
 * letter; of other scripts only the case goes. */
#ifndef LAMINA_DAEMON_FOLD_H
#define LAMINA_DAEMON_FOLD_H

#include <sqlite3.h>

#include "core/base/buffer.h"

/* Appends `text` (UTF-8; bytes that are not pass as they are) folded. Components are left as they are. */
void lam_fold_text(const char *text, lam_buffer *out);

/* Appends the key of a name: "Müller^Eva=…" becomes "muller^eva^=…^=". Empty components at the end of a
 * group do not count. */
void lam_fold_name(const char *name, lam_buffer *out);

/* Makes lam_fold_name(text) known to SQL, for migrations. Returns an SQLite code. */
int lam_fold_register(sqlite3 *handle);

#endif
