/* Monotonic seconds, by a clock that was handed in or by the system's own. */
#ifndef REEL_CLOCK_H
#define REEL_CLOCK_H
#include <Python.h>
#include <time.h>

static double
monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* What to keep of a clock for `read_clock`: itself, a new reference; or NULL, without an error,
 * where it is `time.perf_counter` and that is the system's, which is had without a call of Python's. */
static PyObject *
kept_clock(PyObject *clock)
{
#ifdef __linux__
    PyObject *module = PyImport_ImportModule("time");
    PyObject *usual = module == NULL ? NULL : PyObject_GetAttrString(module, "perf_counter");
    int is_usual = usual == clock;
    Py_XDECREF(module);
    Py_XDECREF(usual);
    PyErr_Clear();
    if (is_usual)
        return NULL;
#endif
    return Py_NewRef(clock);
}

/* The time by what was kept of a clock, or -1 with an error set. */
static double
read_clock(PyObject *kept)
{
    if (kept == NULL)
        return monotonic();
    PyObject *time = PyObject_CallNoArgs(kept);
    double now = time == NULL ? -1.0 : PyFloat_AsDouble(time);
    Py_XDECREF(time);
    return now;
}

#endif
