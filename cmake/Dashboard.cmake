# The page of apiaryd, as part of the program: each file of tools/dashboard but pictures, and d3, by .incbin. apiary_dashboard is a
# library of objects with tools/dashboard/dashboard.h as its face.
find_file(D3_JS d3.min.js PATHS /usr/share/javascript/d3 REQUIRED NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH)

file(GLOB dashboard_sources CONFIGURE_DEPENDS tools/dashboard/*.html tools/dashboard/*.css tools/dashboard/*.js tools/dashboard/*.svg)
set(dashboard_type_html "text/html; charset=utf-8")
set(dashboard_type_css "text/css; charset=utf-8")
set(dashboard_type_js "text/javascript; charset=utf-8")
set(dashboard_type_svg "image/svg+xml")

set(dashboard_def "/* Made by cmake/Dashboard.cmake. */\n")
set(dashboard_data "/* Made by cmake/Dashboard.cmake. */\n")
foreach(file ${dashboard_sources} ${D3_JS})
    cmake_path(GET file FILENAME name)
    cmake_path(GET file EXTENSION LAST_ONLY type)
    string(SUBSTRING ${type} 1 -1 type)
    string(MAKE_C_IDENTIFIER "dashboard_${name}" symbol)
    string(APPEND dashboard_def "DASHBOARD_FILE(${symbol}, \"/${name}\", \"${dashboard_type_${type}}\")\n")
    string(APPEND dashboard_data
        "__asm__(\".pushsection .rodata\\n\"\n"
        "        \".global ${symbol}_begin\\n.hidden ${symbol}_begin\\n${symbol}_begin:\\n.incbin \\\"${file}\\\"\\n\"\n"
        "        \".global ${symbol}_end\\n.hidden ${symbol}_end\\n${symbol}_end:\\n.byte 0\\n.popsection\\n\");\n")
endforeach()
set(dashboard_folder ${PROJECT_BINARY_DIR}/dashboard)
file(CONFIGURE OUTPUT ${dashboard_folder}/dashboard_files.def CONTENT "${dashboard_def}" @ONLY)
file(CONFIGURE OUTPUT ${dashboard_folder}/dashboard_data.c CONTENT "${dashboard_data}" @ONLY)

add_library(apiary_dashboard OBJECT tools/dashboard/dashboard.c ${dashboard_folder}/dashboard_data.c)
set_source_files_properties(${dashboard_folder}/dashboard_data.c PROPERTIES OBJECT_DEPENDS "${dashboard_sources};${D3_JS}"
                            COMPILE_OPTIONS -Wno-pedantic)
target_include_directories(apiary_dashboard PRIVATE ${dashboard_folder})
target_link_libraries(apiary_dashboard PUBLIC apiary_internal)
