/* tools/common/otlp.h - ends of tasks as spans of OpenTelemetry: a line is an ExportTraceServiceRequest (or TracesData) in the JSON
 * encoding of OTLP, as the collector's otlpjsonfile receiver reads it.
 *
 * MAPPING   1 A task is a span of the service that ran it: kind CONSUMER, "process CAPABILITY", by the semantic conventions of
 *           messaging. It begins when the task is queued and has the event "started". Its id is the task's reference, which
 *           the tasks name as their parent that its agent asks for.
 *           2 A start that failed and is tried again, or whose worker died, is a span of its own below: kind INTERNAL.
 *           3 Ids are hexadecimal, times and other 64-bit integers are texts, enumerations are numbers.
 */
#ifndef AP_TOOLS_OTLP_H
#define AP_TOOLS_OTLP_H

#include "tools/common/finished.h"

/* The spans of those records that are in a sampled trace, by service; NULL: none is. A line without its end, to be freed. */
char *otlp_line(const struct ap_segment *seg, const struct ap_finished *all, size_t n);

#endif
