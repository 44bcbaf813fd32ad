/* Certificates for tests, made while they run: those in files would expire. */
#ifndef LAMINA_TESTS_UNIT_DAEMON_PEM_H
#define LAMINA_TESTS_UNIT_DAEMON_PEM_H

/* A certificate that signs itself, valid for `days` from now on (below 0: no longer), and its key in one file
 * for nobody else to read. */
void pem_make(const char *path, int days);

#endif
