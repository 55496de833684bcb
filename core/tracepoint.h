/* core/tracepoint.h - static tracepoints (USDT): places where perf, bpftrace or gdb can look in, of the provider "apiary".
 *
 * A tracepoint is a nop, with a note in the program that says where it is and which registers have its arguments. The kernel puts
 * a breakpoint there while somebody looks, and then each pass costs a trap. Arguments are values that the code has at hand, so that
 * it computes nothing for them. Without <sys/sdt.h> (Debian: systemtap-sdt-dev) there are none.
 * tools/examples/tasks.bt uses them; apiary-segment(7) lists them.
 */
#ifndef AP_TRACEPOINT_H
#define AP_TRACEPOINT_H

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define AP_TRACEPOINT(name, first, second) DTRACE_PROBE2(apiary, name, first, second)
#else
#define AP_TRACEPOINT(name, first, second) ((void)(first), (void)(second))
#endif

#endif
