/* Files of the source tree as constants in the program, put there by the assembler: no generated source.
 * Paths are from the repository root, where the compiler runs. api/embed.mk makes the objects depend on the
 * files. Internal to api/. */
#ifndef LAMINA_API_EMBED_H
#define LAMINA_API_EMBED_H

#include <stddef.h>

/* Defines `name` and `name_end`, the bytes of the file and the end of them. At file scope. */
#define LAM_EMBED(name, path)                                                                                \
    extern const char name[];                                                                                \
    extern const char name##_end[];                                                                          \
    __asm__(".pushsection .rodata\n"                                                                         \
            ".balign 16\n"                                                                                   \
            ".global " #name "\n.hidden " #name "\n.type " #name ", @object\n" #name ":\n"                   \
            ".incbin \"" path "\"\n"                                                                         \
            ".global " #name "_end\n.hidden " #name "_end\n" #name "_end:\n"                                 \
            ".byte 0\n"                                                                                      \
            ".size " #name ", . - " #name "\n"                                                               \
            ".popsection\n")

#define LAM_EMBED_LENGTH(name) ((size_t)(name##_end - name))

#endif
