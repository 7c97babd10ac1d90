# embed_files(TARGET NAME DIR): turns the files of DIR into the array `NAME` of struct embedded_file, which ends with a
# name of NULL, and adds it to TARGET.
function(embed_files target name dir)
    file(GLOB files CONFIGURE_DEPENDS RELATIVE ${dir} ${dir}/*.html ${dir}/*.css ${dir}/*.js ${dir}/*.svg)
    set(arrays "")
    set(rows "")
    set(n 0)
    foreach(file IN LISTS files)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${dir}/${file})
        file(READ ${dir}/${file} bytes HEX)
        file(MD5 ${dir}/${file} sum)
        string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
        string(APPEND arrays "static const unsigned char file_${n}[] = {${bytes}};\n")
        string(APPEND rows "    {\"${file}\", \"\\\"${sum}\\\"\", file_${n}, sizeof file_${n}},\n")
        math(EXPR n "${n} + 1")
    endforeach()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.c @ONLY CONTENT
"/* Made from the files in ${dir}. */
#include \"embedded.h\"

${arrays}
const struct embedded_file ${name}[] = {
${rows}    {0},
};
")
    target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
endfunction()
