#include "core/base/text.h"

#include <assert.h>
#include <string.h>

size_t lam_text_copy(char *to, size_t size, const char *from)
{
    assert(size > 0);
    if (!from)
        from = "";
    size_t length = strlen(from);
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)from[length] & 0xc0) == 0x80)
            length--;
    }
    if (length)
        memmove(to, from, length);
    to[length] = '\0';
    return length;
}
