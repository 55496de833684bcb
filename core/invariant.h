/* core/invariant.h - invariants that the code relies on.
 *
 * 1 A value from outside this process' own private memory is never asserted: a word of the segment, a file, the caller's
 *   arguments, an answer of the system. Each such value gets an answer (APIARY_ECORRUPT, APIARY_EINVAL, APIARY_ESYS), and the host
 *   program goes on.
 * 2 AP_ASSERT is for conditions that only a defect of this library, or a stray store of its host into private memory, can break, at
 *   places where one more comparison costs nothing noticeable. It is in every build, and it traps (SIGILL, SIGTRAP), as the C
 *   library and the allocators do when their private state is broken. To go on would be to write by an index or a count that is
 *   known to be wrong, here into the memory of all members. The members are made for a process that ends at any instruction: its
 *   tasks are recovered. The dump's innermost frame is the line of the invariant. Nothing is printed.
 * 3 AP_DEBUG_ASSERT is for the same on the hot path, and for conditions that are expensive to check. It is in builds without NDEBUG
 *   (dev, the sanitizers, the fuzzers); in others the expression is compiled and not evaluated.
 * 4 Two constants that must agree are compared by _Static_assert, beside the one that has to follow the other.
 *
 * The expressions have no side effects.
 */
#ifndef AP_INVARIANT_H
#define AP_INVARIANT_H

#define AP_ASSERT(invariant) (__builtin_expect(!(invariant), 0) ? __builtin_trap() : (void)0)

#ifdef NDEBUG
#define AP_DEBUG_ASSERT(invariant) ((void)sizeof(!(invariant)))
#else
#define AP_DEBUG_ASSERT(invariant) AP_ASSERT(invariant)
#endif

#endif
