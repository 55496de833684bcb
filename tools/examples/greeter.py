# greeter.py - a service in Python
import apiary

@apiary.agent("greet", concurrency=4)
def greet(job):
    if not job.body:
        raise apiary.Fail("whom?", 400)
    return b"good morning, " + job.body

if __name__ == "__main__":
    apiary.Queen("greeter_service", greet).serve()   # until SIGTERM; then it finishes its tasks and leaves
