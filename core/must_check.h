/* core/must_check.h - for functions whose error no caller may ignore. The compiler warns, and (void) does not silence it.
 */
#ifndef AP_MUST_CHECK_H
#define AP_MUST_CHECK_H

#define AP_MUST_CHECK __attribute__((warn_unused_result))

#endif
