/* tools/apiary/change.h - what a supervisor changes while it runs: another configuration, instances that are restarted.
 *
 * RELOAD    1 The new text is judged whole, and compared with the one in force. A wrong one, and one that needs a new segment,
 *           change nothing.
 *           2 Then it is in force. Services and instances that are new are started first, together. Services whose queens run with
 *           something else are restarted, one instance after another. Services and instances that are no longer wanted are stopped
 *           last, in the reverse of the order in which they are started (order.h), the last service of the former text
 *           first. New ones wait for others as at the start. All others are not touched.
 *           3 Each queen has a note of what it runs with (`runs`) and of what it says (`says`), so one that was left behind by a
 *           change that did not come to its end is found by the next. One that was told a text and has not answered in time may say
 *           that or not (`unsure`): it is told the text in force again, until it answers.
 * RESTART   1 start_first: another instance is started under a free name; when it passes, the old one finishes its tasks and ends.
 *           When it does not pass, it is stopped, and the old one and its sisters stay as they are.
 *           2 stop_first: the old one finishes its tasks and ends; then it is started again under its name.
 *           3 An instance that passes no more, or that an operator has taken out of the routing, is always restarted stop_first: so
 *           the operator's mode, which is its name's, stays.
 * TURN      One change at a time. The crew is looked after meanwhile, and what goes on is shown.
 * CRASH     The children of a supervisor that is killed get SIGTERM, whichever step it was at. The next one reads the file, and the
 *           names and records of all that was half done are freed like those of any supervisor that has gone (queens.c).
 */
#ifndef AP_TOOLS_APIARY_CHANGE_H
#define AP_TOOLS_APIARY_CHANGE_H

#include "tools/apiary/up.h"

/* Obeys SIGHUP and the commands that have come until now. */
void change_due(struct up *up);

/* Whether its session has a terminal. */
bool change_has_terminal(void);

#endif
