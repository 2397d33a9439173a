/* Types told by their names, where no header names them. */

#ifndef ONECOPY_NAMES_H
#define ONECOPY_NAMES_H

#include <stdbool.h>
#include <string.h>

static inline bool names_begin_with_any(const char *name, const char *const *starts)
{
    for (; *starts != NULL; starts++) {
        if (strncmp(name, *starts, strlen(*starts)) == 0) {
            return true;
        }
    }
    return false;
}

static inline bool names_are_any(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

#endif
