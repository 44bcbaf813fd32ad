/* The table of configuration keys as text for people: the file in effect, the example file, the list of keys
 * in lamina.conf(5). */
#include <stdio.h>
#include <string.h>

#include "daemon/laminad/config_table.h"

enum { LINE = 100 };

/* ---- the file in effect ---- */

/* Breaks a condition before a word, so that inih can read each line back. */
static void write_rule(lam_buffer *out, const char *name, const char *text)
{
    enum { MAX_LINE = 190 };
    lam_buffer_printf(out, "%s = ", name);
    size_t column = strlen(name) + 3;
    while (*text) {
        size_t word = strcspn(text, " ");
        word += strspn(text + word, " ");
        if (column + word > MAX_LINE) {
            lam_buffer_append_text(out, "\n ");
            column = 1;
        }
        lam_buffer_append(out, text, word);
        column += word;
        text += word;
    }
    lam_buffer_append_text(out, "\n");
}

static void write_record(const lam_config_section *section, const char *name, const void *record,
                         lam_buffer *out)
{
    char text[LAM_CONFIG_TEXT];
    lam_buffer_printf(out, "%s[%s%s%s]\n", out->length > 0 ? "\n" : "", section->name, *name ? " " : "",
                      name);
    for (size_t k = 0; k < section->key_count; k++) {
        lam_config_value_format(&section->keys[k], record, text);
        if (section->keys[k].type == LAM_TYPE_RULE)
            write_rule(out, section->keys[k].name, text);
        else if (text[0])
            lam_buffer_printf(out, "%s = %s\n", section->keys[k].name, text);
    }
}

lam_status lam_config_write(const lam_config *config, lam_buffer *out)
{
    for (size_t i = 0; i < LAM_SECTION_PEER; i++)
        write_record(&lam_config_sections[i], "", config, out);
    for (size_t i = 0; i < config->peer_count; i++)
        write_record(&lam_config_sections[LAM_SECTION_PEER], config->peers[i].name, &config->peers[i], out);
    for (size_t i = 0; i < config->rule_count; i++)
        write_record(&lam_config_sections[LAM_SECTION_RULE], config->rules[i].name, &config->rules[i], out);
    return out->status;
}

/* ---- the example ---- */

/* Comment lines of at most LINE characters. */
static void write_comment(lam_buffer *out, const char *prefix, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column == 0 || column + 1 + word > LINE) {
            lam_buffer_printf(out, "%s%s", column == 0 ? "" : "\n", prefix);
            column = strlen(prefix);
        }
        lam_buffer_printf(out, " %.*s", (int)word, text);
        column += 1 + word;
        text += word + strspn(text + word, " ");
    }
    lam_buffer_append_text(out, "\n");
}

static void write_example_key(lam_buffer *out, const lam_config_key *key, bool commented)
{
    char note[LAM_CONFIG_TEXT];
    LAM_AUTO(lam_buffer_done) lam_buffer what;
    lam_buffer_init(&what, LAM_CONFIG_TEXT);
    lam_config_value_describe(key, &what);
    snprintf(note, sizeof note, "(%s%s)", lam_buffer_text(&what), key->required ? "; required" : "");
    lam_buffer_append_text(out, "\n");
    write_comment(out, "#", key->help);
    write_comment(out, "#", note);
    lam_buffer_printf(out, "%s%s = %s\n", commented || !key->initial ? ";" : "", key->name,
                      key->initial ? key->initial : key->example);
}

lam_status lam_config_write_example(lam_buffer *out)
{
    lam_buffer_append_text(
        out, "# Configuration of laminad; lamina.conf(5) says more. Every line that is not a comment gives "
             "the default.\n"
             "# A comment begins with # or ; at the start of a line, or with a blank and ; behind a value.\n"
             "# Check with: laminad --check-config. Apply with: systemctl reload laminad\n");
    for (size_t i = 0; i < LAM_SECTION_COUNT; i++) {
        const lam_config_section *section = &lam_config_sections[i];
        lam_buffer_append_text(out, "\n");
        write_comment(out, "#", section->help);
        lam_buffer_printf(out, "%s[%s%s%s]\n", section->named ? ";" : "", section->name,
                          section->named ? " " : "", section->named ? section->example : "");
        for (size_t k = 0; k < section->key_count; k++)
            write_example_key(out, &section->keys[k], section->named != NULL);
    }
    return out->status;
}

/* ---- lamina.conf(5) ---- */

/* mdoc text: one sentence a line, and nothing that roff takes for a request or an escape. */
static void write_mdoc(lam_buffer *out, const char *text)
{
    bool line_start = true;
    for (; *text; text++) {
        if (line_start && strchr(".'", *text))
            lam_buffer_append_text(out, "\\&");
        line_start = text[0] == '.' && text[1] == ' ';
        lam_buffer_append(out, text, 1);
        if (*text == '\\')
            lam_buffer_append_text(out, "e");
        if (line_start) {
            lam_buffer_append_text(out, "\n");
            text++;
        }
    }
    lam_buffer_append_text(out, "\n");
}

static void write_man_key(lam_buffer *out, const lam_config_key *key)
{
    LAM_AUTO(lam_buffer_done) lam_buffer what;
    lam_buffer_init(&what, LAM_CONFIG_TEXT);
    lam_config_value_describe(key, &what);
    lam_buffer_printf(out, ".It Cm %s\n", key->name);
    write_mdoc(out, key->help);
    lam_buffer_printf(out, "Takes %s.\n", lam_buffer_text(&what));
    if (key->required)
        lam_buffer_append_text(out, "Required.\n");
    else if (key->initial)
        lam_buffer_printf(out, "Default:\n.Ql %s .\n", key->initial);
    if (!key->live)
        lam_buffer_append_text(out, "A change needs a restart.\n");
}

lam_status lam_config_write_man(lam_buffer *out)
{
    for (size_t i = 0; i < LAM_SECTION_COUNT; i++) {
        const lam_config_section *section = &lam_config_sections[i];
        lam_buffer_printf(out, ".Ss [%s%s%s]\n", section->name, section->named ? " " : "",
                          section->named ? section->named : "");
        write_mdoc(out, section->help);
        lam_buffer_append_text(out, ".Bl -tag -width Ds\n");
        for (size_t k = 0; k < section->key_count; k++)
            write_man_key(out, &section->keys[k]);
        lam_buffer_append_text(out, ".El\n");
    }
    return out->status;
}
