# The flags of all our own code, as one interface target.
add_library(apiary_flags INTERFACE)
target_compile_options(apiary_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith>
    -fno-common -fno-omit-frame-pointer)
if(APIARY_WERROR AND NOT APIARY_SANITIZE) # with a sanitizer gcc warns of what it has itself put in
    target_compile_options(apiary_flags INTERFACE -Werror)
endif()

if(APIARY_SANITIZE) # lines are all that a report names, and what they need is compiled in three quarters of the time
    set(CMAKE_C_FLAGS_DEBUG "-O1 -g1")
else()
    set(CMAKE_C_FLAGS_DEBUG "-O1 -g3")
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g -DNDEBUG")

if(APIARY_SANITIZE)
    target_compile_options(apiary_flags INTERFACE -fsanitize=${APIARY_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(apiary_flags INTERFACE -fsanitize=${APIARY_SANITIZE})
    if(APIARY_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # gcc warns that the sanitizer does not model fences; each of ours stands between two atomic accesses.
        target_compile_options(apiary_flags INTERFACE -Wno-tsan)
    endif()
else()
    target_compile_options(apiary_flags INTERFACE -fstack-protector-strong
                           $<$<NOT:$<CONFIG:Debug>>:-fstack-clash-protection>
                           $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
endif()
target_link_options(apiary_flags INTERFACE -Wl,-z,relro -Wl,-z,noexecstack)
