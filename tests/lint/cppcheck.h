/* For cppcheck only, given with --include: macros of libraries whose headers it is not shown. */
#define json_object_foreach(object, key, value) for (key = "", value = object; value;)
#define json_array_foreach(array, index, value) for (index = 0, value = array; value;)
