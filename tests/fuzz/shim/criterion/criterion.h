/* tests/fuzz/shim/criterion/criterion.h - the assertions of tests/unit/fake_agent.h without their framework: in a fuzz target an
 * assertion that does not hold ends the process. */
#ifndef FUZZ_CRITERION_H
#define FUZZ_CRITERION_H

#include <string.h>

#include "tests/fuzz/fuzz.h"

#define cr_assert(condition, ...) FUZZ_REQUIRE(condition)
#define cr_assert_eq(a, b, ...) FUZZ_REQUIRE((a) == (b))
#define cr_assert_gt(a, b, ...) FUZZ_REQUIRE((a) > (b))
#define cr_assert_lt(a, b, ...) FUZZ_REQUIRE((a) < (b))
#define cr_assert_leq(a, b, ...) FUZZ_REQUIRE((a) <= (b))
#define cr_assert_not_null(a, ...) FUZZ_REQUIRE((a) != NULL)
#define cr_assert_str_eq(a, b, ...) FUZZ_REQUIRE(strcmp(a, b) == 0)
#define cr_assert_fail(...) abort()

#endif
