#include "daemon/cli/completion.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/cleanup.h"

/* The lists that the script has for each command. */
enum { OPTIONS, FOLDERS, FILES, VALUES, WORDS, PLAIN, LISTS };
static const char *const list_names[LISTS] = {"options", "folders", "files", "values", "words", "plain"};

typedef struct completion {
    char lists[LISTS][1024]; /* each word with a blank before and after it */
} completion;

static bool has(const char *list, const char *word, size_t length)
{
    for (const char *at = list; (at = strchr(at, ' ')) != NULL; at++)
        if (strncmp(at + 1, word, length) == 0 && at[1 + length] == ' ')
            return true;
    return false;
}

/* What does not fit is not completed. */
static void add(char list[1024], const char *word, size_t length)
{
    size_t used = strlen(list);
    if (length == 0 || has(list, word, length) || used + length + 3 > 1024)
        return;
    snprintf(list + used, 1024 - used, "%s%.*s ", used ? "" : " ", (int)length, word);
}

static size_t name_length(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
}

static bool begins(const char *text, const char *word)
{
    size_t length = strlen(word);
    return strncmp(text, word, length) == 0 && !isupper((unsigned char)text[length]);
}

/* The option at `text`, which begins with its dashes, and what its value is. */
static void add_option(completion *c, const char *text)
{
    size_t length = name_length(text);
    add(c->lists[OPTIONS], text, length);
    if (text[length] != ' ')
        return;
    const char *value = text + length + 1;
    size_t end = strcspn(value, " ,\n");
    bool optional = value[0] == '[' && value[end - 1] == ']';
    if (optional || !(isupper((unsigned char)*value) || *value == '['))
        return;
    int list = begins(value, "DIR")                             ? FOLDERS
               : begins(value, "FILE") || begins(value, "PATH") ? FILES
                                                                : VALUES;
    add(c->lists[list], text, length);
    if (list == FILES && value[end - 1] == '.') /* more of them follow */
        add(c->lists[PLAIN], "PATH", strlen("PATH"));
}

/* "[--json] STUDY", "import FILE --bundle DIR | check DIR" */
static void read_synopsis(completion *c, const char *text)
{
    bool of_option = false, first = true;
    for (const char *at = text; *at; first = false) {
        at += strspn(at, "[ ");
        if (*at == '|') {
            first = true;
            at += strspn(at, "| ");
        }
        bool option = strncmp(at, "--", 2) == 0;
        if (option)
            add_option(c, at);
        else if (first)
            add(c->lists[WORDS], at, name_length(at));
        if (!option && !of_option)
            for (const char *const *kind = (const char *const[]){"DIR", "FILE", "PATH", "COMMAND", NULL};
                 *kind; kind++)
                if (begins(at, *kind))
                    add(c->lists[PLAIN], *kind, strlen(*kind));
        size_t length = strcspn(at, " ");
        of_option = option && at[length - 1] != ']';
        at += length;
    }
}

/* "  --name VALUE what it does", "  --one VALUE, --other VALUE", "  word what it does" */
static void read_details(completion *c, const char *text)
{
    for (const char *line = text; *line;) {
        const char *end = line + strcspn(line, "\n");
        if (strncmp(line, "  ", 2) == 0 && islower((unsigned char)line[2]))
            add(c->lists[WORDS], line + 2, name_length(line + 2));
        for (const char *at = line; at && strncmp(at += 2, "--", 2) == 0;) {
            add_option(c, at);
            const char *next = strstr(at, ", --");
            at = next && next < end ? next : NULL;
        }
        line = *end ? end + 1 : end;
    }
}

static void print_command(FILE *to, const lam_cli_command *command)
{
    completion c = {0};
    read_synopsis(&c, command->arguments);
    read_details(&c, command->details);
    add(c.lists[OPTIONS], "--help", strlen("--help"));
    fprintf(to, "    %s)", command->name);
    for (size_t i = 0; i < LISTS; i++)
        if (*c.lists[i])
            fprintf(to, " %s='%s'", list_names[i], c.lists[i]);
    fputs(" ;;\n", to);
}

static const char head[] = "# bash completion of lamina(1), made by `lamina completion bash`\n"
                           "_lamina() {\n"
                           "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
                           "    local options='' folders='' files='' values='' words='' plain='' commands='";

static const char tail[] =
    "    *) return ;;\n"
    "    esac\n"
    "    if [[ $folders == *\" $previous \"* ]]; then\n"
    "        plain=' DIR '\n"
    "    elif [[ $files == *\" $previous \"* ]]; then\n"
    "        plain=' FILE '\n"
    "    elif [[ $values == *\" $previous \"* ]]; then\n"
    "        return\n"
    "    elif [[ $word == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
    "        return\n"
    "    else\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
    "    fi\n"
    "    case $plain in\n"
    "    *' COMMAND '*) mapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$word\") ;;\n"
    "    *' FILE '* | *' PATH '*)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$word\")\n"
    "        ;;\n"
    "    *' DIR '*)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$word\")\n"
    "        ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _lamina lamina\n";

void lam_completion_print(FILE *to, const lam_cli_command *commands, size_t count)
{
    fputs(head, to);
    for (size_t i = 0; i < count; i++)
        fprintf(to, "%s%s", i ? " " : "", commands[i].name);
    fputs("'\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        mapfile -t COMPREPLY < <(compgen -W \"$commands --help --version\" -- \"$word\")\n"
          "        return\n"
          "    fi\n"
          "    case ${COMP_WORDS[1]} in\n",
          to);
    for (size_t i = 0; i < count; i++)
        print_command(to, &commands[i]);
    fputs(tail, to);
}
