/* Types whose references tp_traverse does not show: the program's (types, code, descriptors), and
 * ranges. */

#ifndef ONECOPY_EXTRAS_H
#define ONECOPY_EXTRAS_H

#include "walk.h"

/* Sets kind->extra and kind->program. */
void extras_choose(Kind *kind);

#endif
