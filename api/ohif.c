/* The viewer OHIF under /ohif, where its files are installed ([http] ohif_dir, `make ohif`). It is a client
 * like any other: it asks DICOMweb, and nothing here knows what it does. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "core/base/cleanup.h"

static const struct {
    const char *ending, *media_type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".wasm", "application/wasm"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".woff", "font/woff"},
    {".ttf", "font/ttf"},
};

/* It compiles WebAssembly, starts workers from blobs and writes styles into the page; but everything is ours.
 */
static const char policy[] =
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' "
    "data: blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

static const char *media_type_of(const char *path)
{
    size_t length = strlen(path);
    for (size_t i = 0; i < LAM_COUNT(types); i++) {
        size_t ending = strlen(types[i].ending);
        if (length > ending && strcmp(path + length - ending, types[i].ending) == 0)
            return types[i].media_type;
    }
    return "application/octet-stream";
}

/* Names without anything special, none of which begins with a dot. */
static bool is_harmless(const char *path)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/@";
    if (strspn(path, allowed) != strlen(path) || *path == '/' || *path == '.')
        return false;
    return !strstr(path, "/.") && !strstr(path, "//");
}

/* A plain file below the folder; links are followed by who put them there. */
static int open_file(const char *folder, const char *path, int64_t *bytes)
{
    struct stat info;
    lam_autoclose int base = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lam_autoclose int fd = base >= 0 ? openat(base, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return -1;
    *bytes = info.st_size;
    return LAM_TAKE_FD(fd);
}

void lam_ohif_file(lam_request *request)
{
    const char *folder = request->options->ohif_dir, *path = request->parameters[0];
    int64_t bytes = 0;
    if (!folder) {
        lam_reply_problem(request, MHD_HTTP_NOT_FOUND, "no viewer is installed here: see [http] ohif_dir");
        return;
    }
    /* its own addresses, such as /ohif/viewer, are all the one page */
    if (!*path || !strchr(path, '.'))
        path = "index.html";
    int fd = is_harmless(path) ? open_file(folder, path, &bytes) : -1;
    if (fd < 0) {
        lam_reply_problem(request, MHD_HTTP_NOT_FOUND, "the viewer has no such file");
        return;
    }
    lam_reply_file(request, media_type_of(path), fd, bytes);
    lam_reply_header(request, "Content-Security-Policy", policy);
    lam_reply_header(request, "Cross-Origin-Opener-Policy", "same-origin");
    lam_reply_header(request, "Cross-Origin-Embedder-Policy", "require-corp");
    lam_reply_header(request, "Referrer-Policy", "no-referrer");
}
