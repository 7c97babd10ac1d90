# embed_migrations(TARGET NAME DIR...): turns the DIRs' NNNN_name.sql files, in the order of their numbers, into the array
# `NAME` of struct pg_migration and adds it to TARGET.
function(embed_migrations target name)
    set(files)
    foreach(dir IN LISTS ARGN)
        file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/migrations/${dir}/*.sql)
        list(APPEND files ${found})
    endforeach()
    set(rows)
    foreach(file IN LISTS files)
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
        get_filename_component(base ${file} NAME_WE)
        string(REGEX MATCH "^[0-9]+" number ${base})
        string(REGEX REPLACE "^0+" "" version ${number})
        file(READ ${file} sql)
        string(REPLACE "\\" "\\\\" sql "${sql}")
        string(REPLACE "\"" "\\\"" sql "${sql}")
        string(REPLACE ";" "\\073" sql "${sql}") # CMake would take it for the end of a list item
        string(REPLACE "\n" "\\n\"\n    \"" sql "${sql}")
        list(APPEND rows "${number}|    {${version}, \"${base}\", \"${sql}\"},\n")
    endforeach()
    list(SORT rows)
    set(body "")
    foreach(row IN LISTS rows)
        string(REGEX REPLACE "^[0-9]+\\|" "" row "${row}")
        string(APPEND body "${row}")
    endforeach()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${name}.c @ONLY CONTENT
"/* Made from the .sql files in migrations/. */
#include \"pg/pg.h\"

extern const struct pg_migration ${name}[];
const struct pg_migration ${name}[] = {
${body}    {0, NULL, NULL},
};
")
    target_sources(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/${name}.c)
endfunction()
