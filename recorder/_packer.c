/* The hot lines of recording: one step into columns, in C.
 *
 * A Packer is called once a step with the step's values. It writes each into its column
 * as machine numbers, so that nothing is left to convert later. What it does not take as
 * it comes (a numpy scalar, a tuple for a row) goes through the column's `coerce`, which
 * is Python and returns what it does take, or raises the typed error.
 *
 * recorder/packer.py is its twin in Python, used where this could not be built, and says
 * what each method does. Tests hold the two against each other.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

typedef struct {
    char code;          /* q int64, d double, ? bool, D row of doubles, a array, o object */
    Py_ssize_t width;   /* bytes of one row; 0 for objects */
    char *data;         /* capacity * width bytes */
    char *scratch;      /* one row: a step is written whole or not at all */
    PyObject *objects;  /* list, for o */
    PyObject *pending;  /* the object of the step at hand, for o */
    PyObject *name;     /* interned */
    PyObject *coerce;
    PyObject *fallback; /* value where the keyword is missing, or NULL */
    PyObject *dtype;    /* for a: the numpy dtype's buffer format as bytes */
    long long low, high; /* for q: what the column's dtype can hold */
    int ndim;
    Py_ssize_t shape[64]; /* numpy has no more */
} Column;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Py_ssize_t head, count, capacity; /* rows head to head + count are held */
    long long position;
    int columns, positional, closed;
    Column *column, *reward; /* the last by position, if it is a number */
    PyObject *names;    /* the keyword names of the last call that fit the columns in order */
    PyObject *full;     /* called with no arguments when there is no room */
    PyObject *error;    /* raised when closed: an exception instance */
    /* Of the episode that runs, and of the one that ended last. */
    long long ended, episode;
    double open_return, started, woken;
    /* What `finish` needs; see `arm`. */
    PyObject *marks, *wake, *finish, *clock;
    double wall_offset, wake_s;
    int plain_final;
} Packer;

static PyObject *no_tags, *word_terminated, *word_truncated, *word_incomplete;
static PyObject *word_epsilon, *word_seed, *word_stage;

static int
write_array(Column *c, PyObject *value)
{
    Py_buffer view;
    if (!PyObject_CheckBuffer(value) || PyObject_GetBuffer(value, &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) < 0) {
        PyErr_Clear();
        return 0;
    }
    int fits = view.len == c->width && view.ndim == c->ndim && view.format != NULL
        && strcmp(view.format, PyBytes_AS_STRING(c->dtype)) == 0;
    for (int i = 0; fits && i < c->ndim; i++)
        fits = view.shape[i] == c->shape[i];
    if (fits)
        memcpy(c->scratch, view.buf, (size_t)c->width);
    PyBuffer_Release(&view);
    return fits;
}

static int
write_row(Column *c, PyObject *value)
{
    Py_ssize_t n = c->width / (Py_ssize_t)sizeof(double);
    double *row = (double *)c->scratch;
    if (!PyList_CheckExact(value) || PyList_GET_SIZE(value) != n)
        return 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyList_GET_ITEM(value, i);
        if (!PyFloat_CheckExact(item))
            return 0;
        row[i] = PyFloat_AS_DOUBLE(item);
    }
    return 1;
}

/* Write a value into the column's scratch row: 1 written, 0 it does not fit as it is. */
static int
write_value(Column *c, PyObject *value)
{
    switch (c->code) {
    case 'q': {
        int overflow;
        if (!PyLong_CheckExact(value))
            return 0;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow || number < c->low || number > c->high)
            return 0;
        memcpy(c->scratch, &number, sizeof number);
        return 1;
    }
    case 'd':
        if (!PyFloat_CheckExact(value))
            return 0;
        *(double *)c->scratch = PyFloat_AS_DOUBLE(value);
        return 1;
    case '?':
        if (!PyBool_Check(value))
            return 0;
        *c->scratch = value == Py_True;
        return 1;
    case 'D':
        return write_row(c, value) || write_array(c, value);
    case 'a':
        return write_array(c, value);
    }
    return 0;
}

static int
write_column(Column *c, PyObject *value)
{
    if (c->code != 'o' && write_value(c, value))
        return 0;
    PyObject *plain = PyObject_CallOneArg(c->coerce, value);
    if (plain == NULL)
        return -1;
    if (c->code == 'o') {
        Py_XSETREF(c->pending, plain);
        return 0;
    }
    int written = write_value(c, plain);
    Py_DECREF(plain);
    if (!written)
        PyErr_Format(PyExc_TypeError, "column %R does not take what its coerce returned", c->name);
    return written ? 0 : -1;
}

/* Return the argument for a column that is given by keyword (borrowed), or NULL. */
static PyObject *
by_keyword(Packer *self, Column *c, int at, PyObject *const *values, PyObject *names, Py_ssize_t n, Py_ssize_t *used)
{
    Py_ssize_t guess = at - self->positional;
    if (guess < n && PyTuple_GET_ITEM(names, guess) == c->name) {
        *used += 1;
        return values[guess];
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(names, i), c->name, Py_EQ);
        if (same < 0)
            return NULL;
        if (same) {
            *used += 1;
            return values[i];
        }
    }
    if (c->fallback != NULL)
        return c->fallback;
    PyErr_Format(PyExc_TypeError, "record_step() missing required keyword argument: %R", c->name);
    return NULL;
}

static PyObject *
unexpected(Packer *self, PyObject *names, Py_ssize_t n)
{
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int known = 0;
        for (int k = self->positional; k < self->columns && !known; k++)
            known = PyObject_RichCompareBool(name, self->column[k].name, Py_EQ) == 1;
        if (!known) {
            PyErr_Format(PyExc_TypeError, "record_step() got an unexpected keyword argument %R", name);
            return NULL;
        }
    }
    PyErr_SetString(PyExc_TypeError, "record_step() got a keyword argument twice");
    return NULL;
}

/* A small int, which nearly all are, without a call; 0 if it is another. */
static inline int
small_int(PyObject *value, long long *number)
{
#if PY_VERSION_HEX < 0x030C0000
    switch (Py_SIZE(value)) {
    case 0:
        *number = 0;
        return 1;
    case 1:
        *number = ((PyLongObject *)value)->ob_digit[0];
        return 1;
    }
#else
    if (PyUnstable_Long_IsCompact((PyLongObject *)value)) {
        *number = PyUnstable_Long_CompactValue((PyLongObject *)value);
        return 1;
    }
#endif
    return 0;
}

/* Write a value where it belongs, if that takes no call of Python's: nothing can then come
 * between the columns, and a step need not be put together elsewhere first. */
static inline int
write_fast(const Column *c, PyObject *value, Py_ssize_t at)
{
    switch (c->code) {
    case 'q': {
        long long number;
        if (!PyLong_CheckExact(value) || !small_int(value, &number) || number < c->low
            || number > c->high)
            return 0;
        ((long long *)c->data)[at] = number;
        return 1;
    }
    case 'd':
        if (!PyFloat_CheckExact(value))
            return 0;
        ((double *)c->data)[at] = PyFloat_AS_DOUBLE(value);
        return 1;
    case '?':
        if (value != Py_True && value != Py_False)
            return 0;
        c->data[at] = value == Py_True;
        return 1;
    case 'D': {
        Py_ssize_t n = c->width / (Py_ssize_t)sizeof(double);
        if (!PyList_CheckExact(value) || PyList_GET_SIZE(value) != n)
            return 0;
        PyObject **items = ((PyListObject *)value)->ob_item;
        double *row = (double *)(c->data + at * c->width);
        for (Py_ssize_t i = 0; i < n; i++) {
            if (!PyFloat_CheckExact(items[i]))
                return 0;
            row[i] = PyFloat_AS_DOUBLE(items[i]);
        }
        return 1;
    }
    }
    return 0;
}

/* Whether the keywords are the columns' names, all and in their order, as they are nearly
 * always: calls from one place in the code bring the same tuple each time. */
static inline int
in_order(Packer *self, PyObject *names)
{
    if (names == self->names) /* none came before none, but the columns may want some */
        return names != NULL || self->columns == self->positional;
    Py_ssize_t n = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (n != self->columns - self->positional)
        return 0;
    for (Py_ssize_t i = 0; i < n; i++)
        if (PyTuple_GET_ITEM(names, i) != self->column[self->positional + i].name)
            return 0;
    Py_XSETREF(self->names, Py_XNewRef(names));
    return 1;
}

/* What a call returns: the reward as the float that was recorded. */
static inline PyObject *
recorded(Packer *self, PyObject *given)
{
    if (self->reward == NULL)
        Py_RETURN_NONE;
    if (PyFloat_CheckExact(given)) {
        self->open_return += PyFloat_AS_DOUBLE(given);
        return Py_NewRef(given);
    }
    double reward = *(double *)self->reward->scratch;
    self->open_return += reward;
    return PyFloat_FromDouble(reward);
}

/* Move what is held to the front, where the room behind it is used up. */
static void
to_front(Packer *self)
{
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        if (c->code != 'o')
            memmove(c->data, c->data + self->head * c->width, (size_t)(self->count * c->width));
    }
    self->head = 0;
}

static PyObject *record_slowly(Packer *self, PyObject *const *args, Py_ssize_t given, PyObject *names);

static PyObject *
record(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Packer *self = (Packer *)object;
    Py_ssize_t given = PyVectorcall_NARGS(nargsf);
    Py_ssize_t at = self->head + self->count;

    /* Behind the last position by name come the values by keyword, in `args` too. */
    if (given == self->positional && !self->closed && at < self->capacity && in_order(self, names)) {
        int i = 0, columns = self->columns;
        while (i < columns && write_fast(&self->column[i], args[i], at))
            i++;
        if (i == columns) {
            self->count++;
            self->position++;
            return recorded(self, self->reward == NULL ? NULL : args[given - 1]);
        }
    }
    return record_slowly(self, args, given, names);
}

static PyObject *
record_slowly(Packer *self, PyObject *const *args, Py_ssize_t given, PyObject *names)
{
    Py_ssize_t keywords = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    Py_ssize_t used = 0;

    if (self->closed) {
        PyErr_SetObject((PyObject *)Py_TYPE(self->error), self->error);
        return NULL;
    }
    if (given != self->positional) {
        PyErr_Format(PyExc_TypeError,
            "record_step() takes %d positional arguments, and channels by keyword, but %zd were given",
            self->positional, given);
        return NULL;
    }
    for (int i = 0; i < self->columns; i++) {
        PyObject *value = i < self->positional
            ? args[i]
            : by_keyword(self, &self->column[i], i, args + given, names, keywords, &used);
        if (value == NULL || write_column(&self->column[i], value) < 0)
            return NULL;
    }
    if (used != keywords)
        return unexpected(self, names, keywords);
    while (self->count >= self->capacity) {
        PyObject *go_on = PyObject_CallNoArgs(self->full);
        if (go_on == NULL)
            return NULL;
        Py_DECREF(go_on);
        if (PyErr_CheckSignals() < 0)
            return NULL;
    }
    if (self->head + self->count == self->capacity)
        to_front(self);
    Py_ssize_t at = self->head + self->count;
    /* Nothing below can fail but for want of memory: the columns stay of one length. */
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        if (c->code == 'o') {
            if (PyList_Append(c->objects, c->pending) < 0)
                return NULL;
            Py_CLEAR(c->pending);
        }
        else if (c->width == 8)
            memcpy(c->data + at * 8, c->scratch, 8);
        else
            memcpy(c->data + at * c->width, c->scratch, (size_t)c->width);
    }
    self->count++;
    self->position++;
    return recorded(self, self->reward == NULL ? NULL : args[given - 1]);
}

/* A mark (see marks.py) without seed, stage and tags. */
static PyObject *
make_mark(Packer *self, PyObject *final, long flags, PyObject *epsilon, double now)
{
    PyObject *mark = PyTuple_New(9);
    if (mark == NULL)
        return NULL;
    PyTuple_SET_ITEM(mark, 0, PyLong_FromLongLong(self->position));
    PyTuple_SET_ITEM(mark, 1, PyTuple_Pack(1, final));
    PyTuple_SET_ITEM(mark, 2, PyLong_FromLong(flags));
    PyTuple_SET_ITEM(mark, 3, Py_NewRef(epsilon));
    PyTuple_SET_ITEM(mark, 4, Py_NewRef(Py_None));
    PyTuple_SET_ITEM(mark, 5, Py_NewRef(Py_None));
    PyTuple_SET_ITEM(mark, 6, PyFloat_FromDouble(self->wall_offset + self->started));
    PyTuple_SET_ITEM(mark, 7, PyFloat_FromDouble(now - self->started));
    PyTuple_SET_ITEM(mark, 8, Py_NewRef(no_tags));
    for (int i = 0; i < 9; i++) {
        if (PyTuple_GET_ITEM(mark, i) == NULL) {
            Py_DECREF(mark);
            return NULL;
        }
    }
    /* Numbers cannot make a cycle: spare the collector the look. */
    PyObject_GC_UnTrack(PyTuple_GET_ITEM(mark, 1));
    PyObject_GC_UnTrack(mark);
    return mark;
}

static int
fits_int64(PyObject *value)
{
    int overflow;
    if (!PyLong_CheckExact(value))
        return 0;
    PyLong_AsLongLongAndOverflow(value, &overflow);
    return !overflow;
}

/* The end of an episode in its common form: an int64 as final observation, and the flags
 * and `epsilon` as plain bools and a float, no seed and no stage. Everything else is
 * done by `finish_episode` in Python, which this returns the result of. */
static PyObject *
finish(Packer *self, PyObject *const *args, Py_ssize_t given, PyObject *names)
{
    Py_ssize_t keywords = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    PyObject *epsilon = Py_None;
    long flags = 0;
    int common = self->marks != NULL && self->plain_final && !self->closed && given == 1
        && fits_int64(args[0]) && self->position > self->ended;

    for (Py_ssize_t i = 0; common && i < keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i), *value = args[given + i];
        if (name == word_terminated && PyBool_Check(value))
            flags |= value == Py_True ? 1 : 0;
        else if (name == word_truncated && PyBool_Check(value))
            flags |= value == Py_True ? 2 : 0;
        else if (name == word_incomplete && PyBool_Check(value))
            flags |= value == Py_True ? 4 : 0;
        else if (name == word_epsilon && PyFloat_CheckExact(value))
            epsilon = value;
        else if (value == Py_None && (name == word_seed || name == word_stage))
            continue;
        else
            common = 0;
    }
    if (!common) {
        if (self->finish == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "the packer is not armed");
            return NULL;
        }
        return PyObject_Vectorcall(self->finish, args, (size_t)given, names);
    }
    PyObject *time = PyObject_CallNoArgs(self->clock);
    if (time == NULL)
        return NULL;
    double now = PyFloat_AsDouble(time);
    Py_DECREF(time);
    PyObject *mark = make_mark(self, args[0], flags ? flags : 4, epsilon, now);
    if (mark == NULL)
        return NULL;
    int failed = PyList_Append(self->marks, mark);
    Py_DECREF(mark);
    if (failed < 0)
        return NULL;
    self->ended = self->position;
    self->open_return = 0.0;
    self->started = now;
    if (now - self->woken > self->wake_s) {
        self->woken = now;
        PyObject *woke = PyObject_CallNoArgs(self->wake);
        if (woke == NULL)
            return NULL;
        Py_DECREF(woke);
    }
    return PyLong_FromLongLong(self->episode++);
}

static PyObject *
arm(Packer *self, PyObject *args)
{
    PyObject *marks, *wake, *finish_slowly, *clock;
    if (!PyArg_ParseTuple(args, "O!OOOddp", &PyList_Type, &marks, &wake, &finish_slowly, &clock,
                          &self->wall_offset, &self->wake_s, &self->plain_final))
        return NULL;
    Py_XSETREF(self->marks, Py_NewRef(marks));
    Py_XSETREF(self->wake, Py_NewRef(wake));
    Py_XSETREF(self->finish, Py_NewRef(finish_slowly));
    Py_XSETREF(self->clock, Py_NewRef(clock));
    Py_RETURN_NONE;
}

static PyObject *
take(Packer *self, PyObject *most_object)
{
    Py_ssize_t most = PyLong_AsSsize_t(most_object);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t n = self->count < most ? self->count : most;
    long long first = self->position - self->count;
    PyObject *parts = PyTuple_New(self->columns);
    if (parts == NULL)
        return NULL;
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        PyObject *part = c->code == 'o'
            ? PyList_GetSlice(c->objects, 0, n)
            : PyBytes_FromStringAndSize(c->data + self->head * c->width, n * c->width);
        if (part == NULL) {
            Py_DECREF(parts);
            return NULL;
        }
        PyTuple_SET_ITEM(parts, i, part);
    }
    /* All parts are made: only now does anything leave the columns. */
    for (int i = 0; i < self->columns; i++)
        if (self->column[i].code == 'o')
            PyList_SetSlice(self->column[i].objects, 0, n, NULL);
    self->head += n;
    self->count -= n;
    /* What is left goes to the front where it is no more than what left: each row is moved
     * once at most, and the same memory, still in the cache, is filled again. */
    if (self->count <= n)
        to_front(self);
    return Py_BuildValue("(nLN)", n, first, parts);
}

static PyObject *
packer_close(Packer *self, PyObject *error)
{
    Py_XSETREF(self->error, Py_NewRef(error));
    self->closed = 1;
    Py_RETURN_NONE;
}

static int
make_column(Column *c, PyObject *spec, Py_ssize_t capacity)
{
    const char *code;
    PyObject *shape;
    if (!PyArg_ParseTuple(spec, "UsnOO!OOLL", &c->name, &code, &c->width, &c->dtype,
                          &PyTuple_Type, &shape, &c->coerce, &c->fallback, &c->low, &c->high)) {
        c->name = c->dtype = c->coerce = c->fallback = NULL;
        return -1;
    }
    c->code = code[0];
    Py_INCREF(c->name);
    PyUnicode_InternInPlace(&c->name);
    Py_INCREF(c->dtype);
    Py_INCREF(c->coerce);
    if (c->fallback == Py_Ellipsis)
        c->fallback = NULL;
    Py_XINCREF(c->fallback);
    c->ndim = (int)PyTuple_GET_SIZE(shape);
    if (c->ndim > (int)(sizeof c->shape / sizeof *c->shape)) {
        PyErr_SetString(PyExc_ValueError, "at most 64 dimensions");
        return -1;
    }
    for (int i = 0; i < c->ndim; i++)
        c->shape[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i));
    if (c->code == 'o')
        return (c->objects = PyList_New(0)) == NULL ? -1 : 0;
    c->data = PyMem_Malloc((size_t)(capacity * c->width));
    c->scratch = PyMem_Malloc((size_t)(c->width ? c->width : 1));
    if (c->data == NULL || c->scratch == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
packer_clear(Packer *self)
{
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        Py_CLEAR(c->objects);
        Py_CLEAR(c->pending);
        Py_CLEAR(c->coerce);
        Py_CLEAR(c->fallback);
    }
    Py_CLEAR(self->names);
    Py_CLEAR(self->full);
    Py_CLEAR(self->error);
    Py_CLEAR(self->marks);
    Py_CLEAR(self->wake);
    Py_CLEAR(self->finish);
    Py_CLEAR(self->clock);
    return 0;
}

static int
packer_traverse(Packer *self, visitproc visit, void *arg)
{
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        Py_VISIT(c->objects);
        Py_VISIT(c->pending);
        Py_VISIT(c->coerce);
        Py_VISIT(c->fallback);
    }
    Py_VISIT(self->names);
    Py_VISIT(self->full);
    Py_VISIT(self->error);
    Py_VISIT(self->marks);
    Py_VISIT(self->wake);
    Py_VISIT(self->finish);
    Py_VISIT(self->clock);
    return 0;
}

static void
packer_dealloc(Packer *self)
{
    PyObject_GC_UnTrack(self);
    packer_clear(self);
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        PyMem_Free(c->data);
        PyMem_Free(c->scratch);
        Py_CLEAR(c->name);
        Py_CLEAR(c->dtype);
    }
    PyMem_Free(self->column);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *
packer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *specs, *full;
    int positional;
    Py_ssize_t capacity;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Packer() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!inO", &PyTuple_Type, &specs, &positional, &capacity, &full))
        return NULL;
    Packer *self = (Packer *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->vectorcall = record;
    self->capacity = capacity;
    self->positional = positional;
    self->full = Py_NewRef(full);
    Py_ssize_t n = PyTuple_GET_SIZE(specs);
    self->column = PyMem_Calloc((size_t)n, sizeof(Column));
    if (self->column == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        self->columns = (int)i + 1;
        if (make_column(&self->column[i], PyTuple_GET_ITEM(specs, i), capacity) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    }
    if (positional > 0 && positional <= n && self->column[positional - 1].code == 'd')
        self->reward = &self->column[positional - 1];
    return (PyObject *)self;
}

static PyObject *
get_count(Packer *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(self->count);
}

static PyObject *
get_position(Packer *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(self->position);
}

static PyObject *
open_episode(Packer *self, PyObject *unused)
{
    (void)unused;
    return Py_BuildValue("(Ld)", self->position - self->ended, self->open_return);
}

static PyMethodDef methods[] = {
    {"take", (PyCFunction)take, METH_O, "take(most) -> (count, first position, parts)"},
    {"arm", (PyCFunction)arm, METH_VARARGS,
     "arm(marks, wake, finish, clock, wall_offset, wake_s, plain_final)"},
    {"finish", (PyCFunction)(void (*)(void))finish, METH_FASTCALL | METH_KEYWORDS,
     "See EpisodeRecorder.finish_episode."},
    {"open_episode", (PyCFunction)open_episode, METH_NOARGS, "open_episode() -> (length, return)"},
    {"close", (PyCFunction)packer_close, METH_O, "close(error): raise it at each further step"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"ended", T_LONGLONG, offsetof(Packer, ended), 0, "position of the last episode's end"},
    {"episode", T_LONGLONG, offsetof(Packer, episode), 0, "number of the episode that runs"},
    {"open_return", T_DOUBLE, offsetof(Packer, open_return), 0, "its sum of rewards so far"},
    {"started", T_DOUBLE, offsetof(Packer, started), 0, "when it began, on the clock"},
    {"woken", T_DOUBLE, offsetof(Packer, woken), 0, "when the pump was woken last"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"count", (getter)get_count, NULL, "steps held", NULL},
    {"position", (getter)get_position, NULL, "steps recorded so far", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject PackerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "recorder._packer.Packer",
    .tp_doc = "See recorder/packer.py.",
    .tp_basicsize = sizeof(Packer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_HAVE_GC,
    .tp_vectorcall_offset = offsetof(Packer, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = packer_new,
    .tp_dealloc = (destructor)packer_dealloc,
    .tp_traverse = (traverseproc)packer_traverse,
    .tp_clear = (inquiry)packer_clear,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = properties,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "recorder._packer", "One step into columns, in C.", -1, NULL,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__packer(void)
{
    if (PyType_Ready(&PackerType) < 0)
        return NULL;
    no_tags = PyTuple_New(0);
    word_terminated = PyUnicode_InternFromString("terminated");
    word_truncated = PyUnicode_InternFromString("truncated");
    word_incomplete = PyUnicode_InternFromString("incomplete");
    word_epsilon = PyUnicode_InternFromString("epsilon");
    word_seed = PyUnicode_InternFromString("seed");
    word_stage = PyUnicode_InternFromString("stage");
    if (!no_tags || !word_terminated || !word_truncated || !word_incomplete || !word_epsilon
        || !word_seed || !word_stage)
        return NULL;
    PyObject *self = PyModule_Create(&module);
    if (self == NULL)
        return NULL;
    if (PyModule_AddObjectRef(self, "Packer", (PyObject *)&PackerType) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
