/* perf/base_boost.cc - Boost.Interprocess message queues, for base_boost.c. No exception leaves this file. */
#include "perf/base_boost.h"

#include <boost/interprocess/ipc/message_queue.hpp>

using boost::interprocess::message_queue;

extern "C" void *perf_boost_make(const char *name, size_t depth, size_t size)
{
    try {
        message_queue::remove(name);
        auto *queue = new message_queue(boost::interprocess::create_only, name, depth, size > 0 ? size : 1);
        message_queue::remove(name);
        return queue;
    } catch (...) {
        return nullptr;
    }
}

extern "C" int perf_boost_send(void *queue, const void *body, size_t size, int wait)
{
    try {
        auto *q = static_cast<message_queue *>(queue);
        if (!wait) return q->try_send(body, size, 0) ? 1 : 0;
        q->send(body, size, 0);
        return 1;
    } catch (...) {
        return -1;
    }
}

extern "C" int perf_boost_receive(void *queue, void *body, size_t size, int wait)
{
    message_queue::size_type got = 0;
    unsigned priority;

    try {
        auto *q = static_cast<message_queue *>(queue);
        if (wait)
            q->receive(body, size > 0 ? size : 1, got, priority);
        else if (!q->try_receive(body, size > 0 ? size : 1, got, priority))
            return 0;
        return got == size ? 1 : -1;
    } catch (...) {
        return -1;
    }
}
