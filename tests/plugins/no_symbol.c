/* A shared object that is no plug-in. */
#include <apiary.h>

APIARY_API int apiary_something_else(void);
int apiary_something_else(void)
{
    return 0;
}
