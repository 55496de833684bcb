# The tests. Like the sources they are found by folder:
#
#   tests/unit/test_X.c      a Criterion program, test `unit.X`; other files of the folder are linked into each. One that
#                            includes tests/support/inject.h has calls of the system that fail on demand
#   tests/process/X.c        a helper program of the process tests, in $APIARY_TEST_BIN; common*.c is linked into each
#   tests/linear/*.c         a library for process.linear and unit.linear: whether a history is linearizable
#   tests/process/X.sh       the test `process.X` (lib*.sh are sourced by others and are no tests)
#   tests/X.sh               the test `tree.X`: what is asked of the tree as a whole
#   tests/crash/*.c          the program `sweep` (x86-64 only), in $APIARY_TEST_BIN; tests/crash/X.sh is the test `crash.X`.
#                            With -DAPIARY_DEFECTS=ON also `sweep_defects`, `linear_defects` and, of each unit test that
#                            tests/crash/defects.txt names, `X_defects`: linked to a library of sources in which defects are planted
#   tests/model/*.pml        the models that tests/model.sh has searched
#   tests/full/X.sh          the test `full.X`, with -DAPIARY_FULL=ON only
#   tests/fuzz/fuzz_X.c      a fuzz target, test `fuzz.X`: it replays tests/fuzz/corpus/X and tests/fuzz/findings/X, then
#                            mutates them with a seed that is printed; driver.c and guard.c are linked into each,
#                            the others are a library.
#                            With the preset `fuzz` it is libFuzzer's, and the test replays only
#   tests/plugins/X.c        a plug-in for the tests, $APIARY_PLUGINS/X.so
#   tests/abi/               public headers of releases, and what process.abi compiles with them
#
# Environment of each: APIARY_SOURCE (this tree), APIARY_BUILD, APIARY_BIN (the programs), APIARY_TEST_BIN,
# APIARY_PLUGINS, APIARY_SANITIZE ("", "address,undefined", "thread"), CC, XDG_STATE_HOME (in the build), APIARY_LISTEN (off: many
# coordinators run at the same time). Exit code 77: skipped.
#
# What a test needs of ctest stands in its own first lines, as `ctest: ...` in a comment:
#   ctest: serial          it wants the processors for itself
#   ctest: timeout 600     seconds; generous, since only a hang should ever meet it
#   ctest: first           it begins before the others, beside which it takes longest
#   ctest: not address     not with this sanitizer (address, thread)
#   ctest: address         a test of processes that has the address sanitizer in tools/check, too; the others have it in
#                          tools/check full only, where there is an hour for them
#
# Tests named in tests/parking.list are registered three times, X.uring, X.parker, X.poll, with $APIARY_PARK set.
# Those named in tests/one_thread.list are not built for the thread sanitizer.

set(test_bin ${PROJECT_BINARY_DIR}/tests)
set(plugin_dir ${PROJECT_BINARY_DIR}/plugins)
set(default_timeout 900)

set(parking_tests "")
if(EXISTS ${PROJECT_SOURCE_DIR}/tests/parking.list)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/parking.list)
    file(STRINGS ${PROJECT_SOURCE_DIR}/tests/parking.list parking_tests REGEX "^[a-z]")
    foreach(name ${parking_tests})
        string(REGEX REPLACE "^unit\\.(.*)$" "tests/unit/test_\\1.c" source ${name})
        string(REGEX REPLACE "^process\\.(.*)$" "tests/process/\\1.sh" source ${source})
        if(NOT EXISTS ${PROJECT_SOURCE_DIR}/${source})
            message(FATAL_ERROR "tests/parking.list: there is no ${name} (${source})")
        endif()
    endforeach()
endif()

function(apiary_test_one name label source timeout serial environment command)
    set(test ${APIARY_TEST_PREFIX}${name})
    add_test(NAME ${test} COMMAND ${command})
    # Criterion forgives a crash in a fixture, and a sanitizer's exit status may be lost on the way.
    set_tests_properties(${test} PROPERTIES LABELS "${label}" TIMEOUT ${timeout} SKIP_RETURN_CODE 77
        RUN_SERIAL ${serial} ENVIRONMENT "${environment}" ENVIRONMENT_MODIFICATION "${first_in_path}"
        FAIL_REGULAR_EXPRESSION "Warning! The test;ERROR: [A-Za-z]+Sanitizer;WARNING: ThreadSanitizer;runtime error: ")
endfunction()

# apiary_test(<group> <name> <source> <command...>)
function(apiary_test group name source)
    file(STRINGS ${source} directives REGEX "^[/* #]*ctest: ")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    set(serial FALSE)
    set(cost 0)
    set(timeout ${default_timeout})
    set(address FALSE)
    foreach(line ${directives})
        if(line MATCHES "ctest: serial")
            set(serial TRUE)
        elseif(line MATCHES "ctest: first")
            set(cost 1000)
        elseif(line MATCHES "ctest: timeout ([0-9]+)")
            set(timeout ${CMAKE_MATCH_1})
        elseif(line MATCHES "ctest: not (address|thread)")
            if(APIARY_SANITIZE MATCHES ${CMAKE_MATCH_1})
                return()
            endif()
        elseif(line MATCHES "ctest: address")
            set(address TRUE)
        else()
            message(FATAL_ERROR "${source}: what is '${line}'?")
        endif()
    endforeach()
    if(group STREQUAL "process" AND APIARY_SANITIZE AND NOT APIARY_FULL AND NOT address)
        return()
    endif()
    if(APIARY_SANITIZE)
        math(EXPR timeout "${timeout} * 4")
    endif()
    set(environment "APIARY_SOURCE=${PROJECT_SOURCE_DIR}" "APIARY_BUILD=${PROJECT_BINARY_DIR}"
        "APIARY_BIN=${PROJECT_BINARY_DIR}/bin" "APIARY_TEST_BIN=${test_bin}" "APIARY_PLUGINS=${plugin_dir}"
        "APIARY_SANITIZE=${APIARY_SANITIZE}" "LC_ALL=C.UTF-8" "CC=${CMAKE_C_COMPILER}"
        "XDG_STATE_HOME=${PROJECT_BINARY_DIR}/state" "STATE_DIRECTORY=" "APIARY_LISTEN=off"
        "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0"
        "UBSAN_OPTIONS=print_stacktrace=1" "TSAN_OPTIONS=second_deadlock_stack=1:halt_on_error=1")
    if(APIARY_SANITIZE MATCHES "thread" AND setarch_result EQUAL 0) # containers may forbid it
        # The thread sanitizer of gcc 12 needs its shadow's addresses, which newer kernels may give away at random.
        set(launcher ${SETARCH} -R)
    else()
        set(launcher "")
    endif()
    if("${group}.${name}" IN_LIST parking_tests)
        foreach(park uring parker poll)
            apiary_test_one(${group}.${name}.${park} "${group};park-${park}" ${source} ${timeout} ${serial}
                "${environment};APIARY_PARK=${park}" "${launcher};${test_bin}/park_probe;${park};${ARGN}")
        endforeach()
    else()
        apiary_test_one(${group}.${name} ${group} ${source} ${timeout} ${serial} "${environment}" "${launcher};${ARGN}")
        if(cost GREATER 0)
            set_tests_properties(${APIARY_TEST_PREFIX}${group}.${name} PROPERTIES COST ${cost})
        endif()
    endif()
endfunction()

find_program(SETARCH setarch)
execute_process(COMMAND ${SETARCH} -R true RESULT_VARIABLE setarch_result ERROR_QUIET OUTPUT_QUIET)
find_program(BASH bash REQUIRED)
# Where python3 is a shim that looks for its interpreter at each start (pyenv: half a second), tests find the interpreter first.
find_program(PYTHON3 python3)
set(first_in_path "")
if(PYTHON3)
    execute_process(COMMAND ${PYTHON3} -c "import os, sys; print(os.path.dirname(sys.executable))"
                    OUTPUT_VARIABLE interpreter_in OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    cmake_path(GET PYTHON3 PARENT_PATH python_in)
    if(interpreter_in AND NOT interpreter_in STREQUAL python_in)
        set(first_in_path "PATH=path_list_prepend:${interpreter_in}")
    endif()
endif()

# Test code keeps its assertions in every build type.
add_library(apiary_test_flags INTERFACE)
target_compile_options(apiary_test_flags INTERFACE -UNDEBUG)
# Seconds that a single Criterion test may take, `.timeout = TEST_LIMIT`: only a hang should ever meet it, on a machine with much
# less time for it, too. A program's --timeout is the most for all of its tests, and can be less.
target_compile_definitions(apiary_test_flags INTERFACE TEST_LIMIT=600)
target_link_libraries(apiary_test_flags INTERFACE apiary_internal)

add_executable(park_probe tests/support/park_probe.c)
set_target_properties(park_probe PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin})
target_link_libraries(park_probe PRIVATE apiary_test_flags)

apiary_sources(plugin_sources tests/plugins/*.c)
foreach(source ${plugin_sources})
    cmake_path(GET source STEM name)
    add_library(plugin_${name} MODULE ${source})
    set_target_properties(plugin_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name}
                          LIBRARY_OUTPUT_DIRECTORY ${plugin_dir})
    target_include_directories(plugin_${name} PRIVATE core)
    target_compile_definitions(plugin_${name} PRIVATE _GNU_SOURCE)
    target_link_libraries(plugin_${name} PRIVATE apiary_flags)
endforeach()

apiary_sources(linear_sources tests/linear/*.c)
add_library(linear STATIC ${linear_sources})
target_link_libraries(linear PRIVATE apiary_test_flags)

if("unit" IN_LIST APIARY_TESTS)
    pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion>=2.4)
    list(GET CRITERION_LINK_LIBRARIES 0 criterion_library)
    execute_process(COMMAND ${CMAKE_READELF} -d ${criterion_library} OUTPUT_VARIABLE criterion_needs ERROR_QUIET)
    set(criterion_late "")
    if(criterion_needs MATCHES "NEEDED[^\n]*\\[(libgit2\\.so\\.([0-9.]+))\\]")
        set(git2_version ${CMAKE_MATCH_2})
        find_library(GIT2_LIBRARY NAMES ${CMAKE_MATCH_1})
        if(GIT2_LIBRARY) # see tests/support/git2.c
            add_library(git2_late SHARED tests/support/git2.c)
            set_target_properties(git2_late PROPERTIES OUTPUT_NAME git2 VERSION ${git2_version} SOVERSION ${git2_version}
                                  LIBRARY_OUTPUT_DIRECTORY ${test_bin}/late)
            target_compile_definitions(git2_late PRIVATE LIBGIT2="${GIT2_LIBRARY}")
            target_link_libraries(git2_late PRIVATE apiary_flags)
            set(criterion_late -Wl,--no-as-needed git2_late -Wl,--as-needed)
        endif()
    endif()
    set(criterion ${criterion_late} PkgConfig::CRITERION)
    apiary_sources(unit_sources tests/unit/*.c)
    set(unit_support ${unit_sources})
    list(FILTER unit_sources INCLUDE REGEX "/test_[^/]*$")
    list(FILTER unit_support EXCLUDE REGEX "/test_[^/]*$")
    # The code of a test runs for a moment, and is long: optimised, all of them took half of the time of a build.
    set_source_files_properties(${unit_sources} ${unit_support} PROPERTIES COMPILE_OPTIONS "-O0;-U_FORTIFY_SOURCE")
    if(unit_support)
        add_library(unit_support STATIC ${unit_support})
        target_link_libraries(unit_support PRIVATE apiary_test_flags ${criterion})
    endif()
    if(APIARY_SANITIZE MATCHES "thread")
        if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
            message(WARNING "no unit tests: Criterion's arena lies in the thread sanitizer's memory on this processor")
            set(unit_sources "")
        endif()
        set(unit_shim tests/support/tsan_criterion.c)
    endif()
    file(STRINGS tests/support/inject.c injected REGEX "^WRAP\\(")
    list(TRANSFORM injected REPLACE "^[^,]*, ([a-z0-9_]+),.*$" "-Wl,--wrap=\\1")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS tests/support/inject.c)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS tests/one_thread.list)
    file(STRINGS tests/one_thread.list one_thread REGEX "^[a-z]")
    foreach(source ${unit_sources})
        cmake_path(GET source STEM program)
        string(REGEX REPLACE "^test_" "" name ${program})
        if(APIARY_SANITIZE MATCHES "thread" AND "unit.${name}" IN_LIST one_thread)
            continue()
        endif()
        add_executable(${program} ${source} ${unit_shim})
        set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin} ENABLE_EXPORTS ON)
        target_link_libraries(${program} PRIVATE $<TARGET_NAME_IF_EXISTS:unit_support>
            apiary_kinds_static $<TARGET_NAME_IF_EXISTS:apiary_dump> apiary_dashboard
            $<TARGET_NAME_IF_EXISTS:apiary_tools> $<TARGET_NAME_IF_EXISTS:apiary_perf_stat>
            linear apiary_static apiary_test_flags ${criterion})
        # Objects, which no test needs that has a runtime of its own.
        file(STRINGS ${source} views REGEX "#include \"tools/(view|history)/")
        if(views)
            target_link_libraries(${program} PRIVATE $<TARGET_NAME_IF_EXISTS:apiary_view> $<TARGET_NAME_IF_EXISTS:apiary_history>)
        endif()
        file(STRINGS ${source} injects REGEX "#include \"tests/support/inject.h\"")
        if(injects)
            target_sources(${program} PRIVATE tests/support/inject.c)
            target_link_options(${program} PRIVATE ${injected})
            target_link_libraries(${program} PRIVATE PkgConfig::URING)
        endif()
        apiary_test(unit ${name} ${source} ${test_bin}/${program} --jobs 2)
    endforeach()
endif()

if("process" IN_LIST APIARY_TESTS)
    apiary_sources(process_sources tests/process/*.c)
    set(process_common ${process_sources})
    list(FILTER process_common INCLUDE REGEX "/common[^/]*$")
    list(FILTER process_sources EXCLUDE REGEX "/common[^/]*$")
    foreach(source ${process_sources})
        cmake_path(GET source STEM program)
        add_executable(process_${program} ${source} ${process_common})
        set_target_properties(process_${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin}
                              OUTPUT_NAME ${program} ENABLE_EXPORTS ON)
        target_link_libraries(process_${program} PRIVATE apiary_kinds_static
            $<TARGET_NAME_IF_EXISTS:apiary_dump> linear apiary_static apiary_test_flags)
        target_link_options(process_${program} PRIVATE -Wl,-z,now)
    endforeach()
    file(GLOB process_scripts CONFIGURE_DEPENDS tests/process/*.sh)
    list(FILTER process_scripts EXCLUDE REGEX "/lib[^/]*$")
    foreach(source ${process_scripts})
        cmake_path(GET source STEM name)
        apiary_test(process ${name} ${source} ${BASH} ${source})
    endforeach()
endif()

# Built with the unit tests, so in every preset; without them in the preset `fuzz`.
if("fuzz" IN_LIST APIARY_TESTS OR "unit" IN_LIST APIARY_TESTS)
    set(fuzz_wrapped -Wl,--wrap=mmap,--wrap=munmap,--wrap=nanosleep,--wrap=sched_yield,--wrap=ap_identity_self,--wrap=ap_layout_fingerprint)
    set(fuzz_mutations --runs 1000)
    if(APIARY_SANITIZE MATCHES "fuzzer")
        include(CheckLinkerFlag)
        check_linker_flag(C -fsanitize=${APIARY_SANITIZE} fuzz_no_link)
        if(NOT fuzz_no_link)
            message(FATAL_ERROR "${CMAKE_C_COMPILER} has no libFuzzer; with Debian's clang it is in libclang-rt-dev")
        endif()
        set(fuzz_mutations -runs=0 -verbosity=0)
    endif()
    apiary_sources(fuzz_sources tests/fuzz/*.c)
    set(fuzz_support ${fuzz_sources})
    list(FILTER fuzz_sources INCLUDE REGEX "/fuzz_[^/]*$")
    list(FILTER fuzz_support EXCLUDE REGEX "/(fuzz_[^/]*|driver\\.c|guard\\.c)$")
    add_library(fuzz_support STATIC ${fuzz_support})
    target_link_libraries(fuzz_support PRIVATE apiary_static apiary_test_flags)
    foreach(source ${fuzz_sources})
        cmake_path(GET source STEM program)
        string(REGEX REPLACE "^fuzz_" "" name ${program})
        add_executable(${program} ${source} tests/fuzz/driver.c tests/fuzz/guard.c)
        target_include_directories(${program} PRIVATE tests/fuzz/shim)
        set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin})
        target_link_libraries(${program} PRIVATE fuzz_support apiary_kinds_static apiary_dump apiary_static apiary_test_flags)
        target_link_options(${program} PRIVATE ${fuzz_wrapped})
        if(APIARY_SANITIZE MATCHES "fuzzer")
            target_compile_definitions(${program} PRIVATE FUZZ_LIBFUZZER)
            target_link_options(${program} PRIVATE -fsanitize=fuzzer)
        endif()
        file(GLOB fuzz_folders tests/fuzz/corpus/${name} tests/fuzz/findings/${name})
        apiary_test(fuzz ${name} ${source} ${test_bin}/${program} ${fuzz_mutations} ${fuzz_folders})
    endforeach()
endif()

# ---- the crash sweep

if("crash" IN_LIST APIARY_TESTS AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    apiary_sources(sweep_sources tests/crash/*.c)
    list(FILTER sweep_sources EXCLUDE REGEX "/defect\\.c$")
    add_executable(sweep ${sweep_sources})
    set_target_properties(sweep PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin})
    target_link_libraries(sweep PRIVATE apiary_static apiary_test_flags)
    # A symbol that the dynamic linker resolves at its first use would make the same path longer once.
    set(sweep_options -Wl,-z,now -Wl,--wrap=calloc,--wrap=free)
    target_link_options(sweep PRIVATE ${sweep_options})
    if(APIARY_DEFECTS)
        find_program(PYTHON3 python3 REQUIRED)
        # The copy is made by the build, and whatever of it has changed is compiled anew.
        set(planted ${PROJECT_BINARY_DIR}/planted)
        file(GLOB_RECURSE planted_from CONFIGURE_DEPENDS core/*.[ch] core/*.def shm/*.[ch] shm/*.def registry/*.[ch]
             registry/*.def agents/*.[ch] agents/*.def)
        string(REPLACE ${PROJECT_SOURCE_DIR}/ ${planted}/ planted_files "${planted_from}")
        string(REPLACE ${PROJECT_SOURCE_DIR}/ ${planted}/ planted_sources "${library_sources}")
        add_custom_command(OUTPUT ${PROJECT_BINARY_DIR}/planted.done BYPRODUCTS ${planted_files}
                           ${planted}/core/defect.h ${planted}/core/defect.c
                           COMMAND ${PYTHON3} tests/crash/defects.py . ${planted}
                           COMMAND ${CMAKE_COMMAND} -E touch ${PROJECT_BINARY_DIR}/planted.done
                           DEPENDS ${planted_from} tests/crash/defects.py tests/crash/defects.txt
                           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
        add_custom_target(planted DEPENDS ${PROJECT_BINARY_DIR}/planted.done)
        add_library(apiary_defects STATIC ${planted_sources} ${planted}/core/defect.c)
        add_dependencies(apiary_defects planted)
        target_include_directories(apiary_defects PUBLIC ${planted} ${planted}/core
                                   PRIVATE ${XXHASH_INCLUDE_DIR} ${CK_INCLUDE_DIR})
        target_compile_definitions(apiary_defects PRIVATE _GNU_SOURCE APIARY_BUILD_VERSION="${PROJECT_VERSION}")
        target_link_libraries(apiary_defects PRIVATE apiary_flags ${library_needs})
        add_executable(sweep_defects ${sweep_sources} tests/crash/defect.c)
        set(defect_programs sweep_defects)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS tests/crash/defects.txt)
        file(STRINGS tests/crash/defects.txt named REGEX "^by .*unit\\.")
        string(REGEX MATCHALL "unit\\.[a-z_0-9]+" named "${named}")
        list(REMOVE_DUPLICATES named)
        foreach(name ${named})
            string(REGEX REPLACE "^unit\\." "" name ${name})
            add_executable(${name}_defects tests/unit/test_${name}.c tests/crash/defect.c)
            set_target_properties(${name}_defects PROPERTIES ENABLE_EXPORTS ON)
            target_link_libraries(${name}_defects PRIVATE $<TARGET_NAME_IF_EXISTS:unit_support> ${criterion})
            list(APPEND defect_programs ${name}_defects)
        endforeach()
        target_link_options(sweep_defects PRIVATE ${sweep_options})
        add_executable(linear_defects tests/process/linear.c tests/crash/defect.c)
        target_link_libraries(linear_defects PRIVATE linear)
        list(APPEND defect_programs linear_defects)
        foreach(program ${defect_programs})
            target_link_options(${program} PRIVATE -Wl,-z,now)
            set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${test_bin})
            target_include_directories(${program} BEFORE PRIVATE ${planted} ${planted}/core)
            target_link_libraries(${program} PRIVATE apiary_defects apiary_test_flags)
        endforeach()
        add_custom_target(defects DEPENDS ${defect_programs})
    endif()
    file(GLOB crash_scripts CONFIGURE_DEPENDS tests/crash/*.sh)
    foreach(source ${crash_scripts})
        cmake_path(GET source STEM name)
        apiary_test(crash ${name} ${source} ${BASH} ${source})
    endforeach()
endif()

if("tree" IN_LIST APIARY_TESTS)
    file(GLOB tree_scripts CONFIGURE_DEPENDS tests/*.sh)
    foreach(source ${tree_scripts})
        cmake_path(GET source STEM name)
        apiary_test(tree ${name} ${source} ${BASH} ${source})
    endforeach()
endif()

if(APIARY_FULL AND NOT APIARY_SANITIZE)
    file(GLOB full_scripts CONFIGURE_DEPENDS tests/full/*.sh)
    foreach(source ${full_scripts})
        cmake_path(GET source STEM name)
        apiary_test(full ${name} ${source} ${BASH} ${source})
    endforeach()
endif()
