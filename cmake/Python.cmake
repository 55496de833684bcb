# The Python module: in <build>/python/apiary, where Python's headers are. PYTHONPATH=<build>/python uses it as it is.
set(APIARY_PYTHON AUTO CACHE STRING "The Python module: AUTO (where Python 3.11 has its headers), ON, OFF")
if(NOT APIARY_PYTHON OR APIARY_SANITIZE OR CMAKE_CROSSCOMPILING) # a sanitizer is to be the program's own
    return()
endif()
if(NOT APIARY_PYTHON STREQUAL "AUTO")
    set(required REQUIRED)
endif()
find_package(Python3 3.11 COMPONENTS Interpreter Development.Module QUIET ${required})
if(NOT Python3_Development.Module_FOUND)
    message(STATUS "no Python module: Python 3.11 or its headers are not here (Debian's python3-dev)")
    return()
endif()
apiary_sources(python_sources agents/python/*.c)
add_library(apiary_python MODULE ${python_sources})
# All of the library is in it, so that a module that is copied elsewhere works; nothing but its beginning is seen from outside.
target_link_libraries(apiary_python PRIVATE apiary_static apiary_flags)
target_include_directories(apiary_python PRIVATE ${PROJECT_SOURCE_DIR})
target_include_directories(apiary_python SYSTEM PRIVATE ${Python3_INCLUDE_DIRS})
target_compile_definitions(apiary_python PRIVATE _GNU_SOURCE)
target_link_options(apiary_python PRIVATE -Wl,--as-needed -Wl,-z,now -Wl,-z,nodelete -Wl,--exclude-libs,ALL)
set_target_properties(apiary_python PROPERTIES PREFIX "" OUTPUT_NAME _apiary SUFFIX .abi3.so
                      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/python/apiary)
file(GLOB python_files CONFIGURE_DEPENDS agents/python/apiary/*.py agents/python/apiary/*.pyi agents/python/apiary/py.typed)
foreach(file ${python_files})
    cmake_path(GET file FILENAME name)
    configure_file(${file} ${PROJECT_BINARY_DIR}/python/apiary/${name} COPYONLY)
endforeach()
install(TARGETS apiary_python LIBRARY DESTINATION lib/python3/dist-packages/apiary)
install(FILES ${python_files} DESTINATION lib/python3/dist-packages/apiary)

# `cmake --build <build> --target python_wheel`: a wheel in <build>/wheels, by Debian's python3-wheel.
set(wheel ${PROJECT_BINARY_DIR}/wheel)
file(CONFIGURE OUTPUT ${wheel}/apiary-${PROJECT_VERSION}.dist-info/METADATA CONTENT
     "Metadata-Version: 2.1\nName: apiary\nVersion: @PROJECT_VERSION@\nSummary: @PROJECT_DESCRIPTION@\nRequires-Python: >=3.11\n" @ONLY)
string(TOLOWER "linux_${CMAKE_SYSTEM_PROCESSOR}" platform)
file(CONFIGURE OUTPUT ${wheel}/apiary-${PROJECT_VERSION}.dist-info/WHEEL CONTENT
     "Wheel-Version: 1.0\nGenerator: apiary @PROJECT_VERSION@\nRoot-Is-Purelib: false\nTag: cp311-abi3-@platform@\n" @ONLY)
find_program(APIARY_WHEEL_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH DOC "A Python that has the package wheel")
add_custom_target(python_wheel
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${wheel}/apiary
    COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_BINARY_DIR}/python/apiary ${wheel}/apiary
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${wheel}/apiary/__pycache__
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/wheels
    COMMAND ${APIARY_WHEEL_PYTHON} -m wheel pack ${wheel} --dest-dir ${PROJECT_BINARY_DIR}/wheels
    DEPENDS apiary_python VERBATIM)
