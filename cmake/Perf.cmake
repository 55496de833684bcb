# apiary-perf. Baselines of other packages are built where the package is; where it is not, the program says so.
apiary_sources(perf_sources perf/*.c)
set(perf_stat_sources ${perf_sources})
list(FILTER perf_stat_sources INCLUDE REGEX "/stat[^/]*$")
list(FILTER perf_sources EXCLUDE REGEX "/stat[^/]*$")

add_library(apiary_perf_stat STATIC ${perf_stat_sources})
target_link_libraries(apiary_perf_stat PUBLIC apiary_static apiary_internal)

add_executable(apiary-perf ${perf_sources})
target_link_libraries(apiary-perf PRIVATE apiary_perf_stat apiary_static apiary_internal rt)
target_link_options(apiary-perf PRIVATE -Wl,-z,now)
target_compile_definitions(apiary-perf PRIVATE PERF_BUILD_TYPE="${CMAKE_BUILD_TYPE}")

pkg_check_modules(ZMQ QUIET IMPORTED_TARGET libzmq)
if(ZMQ_FOUND)
    target_compile_definitions(apiary-perf PRIVATE PERF_ZMQ)
    target_link_libraries(apiary-perf PRIVATE PkgConfig::ZMQ)
endif()
find_path(NNG_INCLUDE_DIR nng/nng.h)
find_library(NNG_LIBRARY nng)
if(NNG_INCLUDE_DIR AND NNG_LIBRARY)
    target_compile_definitions(apiary-perf PRIVATE PERF_NNG)
    target_include_directories(apiary-perf PRIVATE ${NNG_INCLUDE_DIR})
    target_link_libraries(apiary-perf PRIVATE ${NNG_LIBRARY})
endif()

# What was built, as of the configuration; "+" when files differed from the commit.
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS ${PROJECT_SOURCE_DIR}/.git)
    execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD
                    OUTPUT_VARIABLE perf_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND ${GIT_EXECUTABLE} -C ${PROJECT_SOURCE_DIR} diff --quiet HEAD RESULT_VARIABLE perf_dirty
                    OUTPUT_QUIET ERROR_QUIET)
    if(perf_commit AND perf_dirty)
        string(APPEND perf_commit "+")
    endif()
    target_compile_definitions(apiary-perf PRIVATE PERF_COMMIT="${perf_commit}")
endif()
list(APPEND APIARY_PROGRAMS apiary-perf)
