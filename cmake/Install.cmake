# What `cmake --install` puts where.
include(CMakePackageConfigHelpers)

install(FILES core/apiary.h core/apiary_error.def DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES core/apiary/agent.h core/apiary/discovery.h core/apiary/kinds.h core/apiary/swarm.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/apiary)
install(TARGETS apiary_shared apiary_static EXPORT apiary-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS apiary_kinds_shared apiary_kinds_static EXPORT apiary-kinds-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(APIARY_PROGRAMS)
    install(TARGETS ${APIARY_PROGRAMS} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/apiary)
install(EXPORT apiary-targets NAMESPACE apiary:: DESTINATION ${package_dir})
install(EXPORT apiary-kinds-targets NAMESPACE apiary:: DESTINATION ${package_dir})
configure_package_config_file(cmake/apiary-config.cmake.in ${PROJECT_BINARY_DIR}/apiary-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/apiary-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/apiary-config.cmake ${PROJECT_BINARY_DIR}/apiary-config-version.cmake
        DESTINATION ${package_dir})

# The paths in apiary.pc and apiary-kinds.pc are relative to the file, so that an installed tree may be moved (and DESTDIR works).
file(RELATIVE_PATH pc_to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
foreach(pc apiary.pc apiary-kinds.pc)
    configure_file(cmake/${pc}.in ${PROJECT_BINARY_DIR}/${pc} @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${pc} DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

# The manual pages, with the options that a task carries in the places of two comments.
set(carried registry/client/carried.def)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${carried})
file(STRINGS ${carried} rows REGEX "^AP_CARRIED\\(")
set(options)
set(said)
foreach(row ${rows})
    if(NOT row MATCHES "^AP_CARRIED\\([a-z_]+, [a-z0-9_]+, \"([a-z-]+)\", \"([A-Z]+)\", \"(.+) \\[(.+)\\]\"\\)$")
        message(FATAL_ERROR "${carried}: the manual page has no use for: ${row}")
    endif()
    set(option ${CMAKE_MATCH_1})
    string(TOLOWER ${CMAKE_MATCH_2} argument)
    string(APPEND options ".Op Fl -${option} Ar ${argument}\n")
    string(APPEND said ".Fl -${option} Ar ${argument} :\n${CMAKE_MATCH_3} (${CMAKE_MATCH_4} by default).\n")
endforeach()
file(GLOB pages CONFIGURE_DEPENDS tools/man/*.[1-8])
foreach(page ${pages})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${page})
    cmake_path(GET page FILENAME name)
    file(READ ${page} text)
    string(REPLACE ".\\\" the options of ${carried}\n" "${options}" text "${text}")
    string(REPLACE ".\\\" what the options of ${carried} say\n" "${said}" text "${text}")
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/man/${name} CONTENT "${text}" @ONLY)
    string(REGEX REPLACE "^.*\\.([1-8])$" "\\1" section ${page})
    install(FILES ${PROJECT_BINARY_DIR}/man/${name} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

file(GLOB completions CONFIGURE_DEPENDS tools/completion/*)
foreach(completion ${completions})
    cmake_path(GET completion STEM name)
    if(name MATCHES "^_")
        install(FILES ${completion} DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME ${name})
    else()
        install(FILES ${completion} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${name})
    endif()
endforeach()

if(EXISTS ${PROJECT_SOURCE_DIR}/agents/singularity.yaml)
    install(FILES agents/singularity.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/apiary)
endif()
