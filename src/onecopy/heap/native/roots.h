/* Where the walk begins: data by name, the program, and what only C refers to. */

#ifndef ONECOPY_ROOTS_H
#define ONECOPY_ROOTS_H

#include "walk.h"

/* Sees and follows one group of data; its tally is in walk->group afterwards. */
int walk_group(Walk *walk, PyObject *value);

/* Sees and follows what is not data: what was set aside, the modules, the locals of running frames.
 */
int walk_program(Walk *walk, PyObject *frames);

/* Fills the __dict__ of instances that were met before the first of their type that has one. */
int walk_late_dicts(Walk *walk);

/* Sees and follows what the collector tracks and nothing so far has led to: what only C refers to.
 */
int walk_tracked(Walk *walk);

#endif
