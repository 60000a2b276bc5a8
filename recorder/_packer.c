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
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    char code;          /* q int of 1, 2, 4 or 8 bytes, d double, ? bool, D row of doubles, a array, o object */
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

/* The end of an episode in its common form. What is beyond it is a tuple among `odd`, and
 * stands here with its position and the flag ODD. Layout: `END` in recorder/marks.py. */
typedef struct {
    long long position, final, flags;
    double epsilon, started, duration; /* no epsilon: NaN */
} End;

enum { TERMINATED = 1, TRUNCATED = 2, INCOMPLETE = 4, ODD = 256 };

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
    /* Ends that are not taken yet: `end[end_head]` and the `end_count - 1` behind it. */
    End *end;
    Py_ssize_t end_head, end_count, end_room;
    PyObject *odd;
    /* What `finish` needs; see `arm`. */
    PyObject *wake, *finish, *clock;
    double wall_offset, wake_s;
    int plain_final;
} Packer;

static PyObject *word_terminated, *word_truncated, *word_incomplete;
static PyObject *word_epsilon, *word_seed, *word_stage;

/* Write an int that is known to fit as one of so many bytes, signed or not. */
static inline void
put_int(char *to, Py_ssize_t width, long long number)
{
    switch (width) {
    case 1:
        *(unsigned char *)to = (unsigned char)number;
        return;
    case 2:
        *(unsigned short *)to = (unsigned short)number;
        return;
    case 4:
        *(unsigned int *)to = (unsigned int)number;
        return;
    default:
        *(long long *)to = number;
    }
}

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
        put_int(c->scratch, c->width, number);
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
        put_int(c->data + at * c->width, c->width, number);
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

/* Return room for one more end, or NULL. */
static End *
next_end(Packer *self)
{
    if (self->end_head > 0 && self->end_head + self->end_count == self->end_room) {
        memmove(self->end, self->end + self->end_head, (size_t)self->end_count * sizeof(End));
        self->end_head = 0;
    }
    if (self->end_count == self->end_room) {
        Py_ssize_t room = self->end_room ? 2 * self->end_room : 1024;
        End *grown = PyMem_Realloc(self->end, (size_t)room * sizeof(End));
        if (grown == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
        self->end = grown;
        self->end_room = room;
    }
    return &self->end[self->end_head + self->end_count];
}

/* Note an end that is not of the common form, given as a mark. */
static PyObject *
packer_end(Packer *self, PyObject *mark)
{
    if (!PyTuple_CheckExact(mark) || PyTuple_GET_SIZE(mark) == 0) {
        PyErr_SetString(PyExc_TypeError, "a mark is a tuple");
        return NULL;
    }
    long long position = PyLong_AsLongLong(PyTuple_GET_ITEM(mark, 0));
    if (position == -1 && PyErr_Occurred())
        return NULL;
    End *end = next_end(self);
    if (end == NULL || PyList_Append(self->odd, mark) < 0)
        return NULL;
    *end = (End){.position = position, .flags = ODD};
    self->end_count++;
    Py_RETURN_NONE;
}

/* Remove the ends up to a position: (bytes of End, list of the odd ones among them). */
static PyObject *
take_ends(Packer *self, PyObject *until_object)
{
    long long until = PyLong_AsLongLong(until_object);
    if (until == -1 && PyErr_Occurred())
        return NULL;
    const End *held = self->end + self->end_head;
    Py_ssize_t n = 0, odd = 0;
    while (n < self->end_count && held[n].position <= until)
        odd += (held[n++].flags & ODD) != 0;
    PyObject *ends = PyBytes_FromStringAndSize((const char *)held, n * (Py_ssize_t)sizeof(End));
    PyObject *marks = PyList_GetSlice(self->odd, 0, odd);
    if (ends == NULL || marks == NULL || PyList_SetSlice(self->odd, 0, odd, NULL) < 0) {
        Py_XDECREF(ends);
        Py_XDECREF(marks);
        return NULL;
    }
    self->end_head += n;
    self->end_count -= n;
    return Py_BuildValue("(NN)", ends, marks);
}

static int
as_int64(PyObject *value, long long *number)
{
    int overflow;
    if (!PyLong_CheckExact(value))
        return 0;
    *number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return !overflow;
}

/* The end of an episode in its common form: an int64 as final observation, and the flags
 * and `epsilon` as plain bools and a float, no seed and no stage. Everything else is
 * done by `finish_episode` in Python, which this returns the result of. */
static PyObject *
finish(Packer *self, PyObject *const *args, Py_ssize_t given, PyObject *names)
{
    Py_ssize_t keywords = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    double epsilon = Py_NAN;
    long long flags = 0, final;
    int common = self->clock != NULL && self->plain_final && !self->closed && given == 1
        && as_int64(args[0], &final) && self->position > self->ended;

    for (Py_ssize_t i = 0; common && i < keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i), *value = args[given + i];
        if (name == word_terminated && PyBool_Check(value))
            flags |= value == Py_True ? TERMINATED : 0;
        else if (name == word_truncated && PyBool_Check(value))
            flags |= value == Py_True ? TRUNCATED : 0;
        else if (name == word_incomplete && PyBool_Check(value))
            flags |= value == Py_True ? INCOMPLETE : 0;
        else if (name == word_epsilon && PyFloat_CheckExact(value))
            epsilon = PyFloat_AS_DOUBLE(value);
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
    End *end = next_end(self);
    if (end == NULL)
        return NULL;
    *end = (End){
        .position = self->position,
        .final = final,
        .flags = flags ? flags : INCOMPLETE,
        .epsilon = epsilon,
        .started = self->wall_offset + self->started,
        .duration = now - self->started,
    };
    self->end_count++;
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
    PyObject *wake, *finish_slowly, *clock;
    if (!PyArg_ParseTuple(args, "OOOddp", &wake, &finish_slowly, &clock,
                          &self->wall_offset, &self->wake_s, &self->plain_final))
        return NULL;
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
    Py_CLEAR(self->odd);
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
    Py_VISIT(self->odd);
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
    PyMem_Free(self->end);
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
    if ((self->odd = PyList_New(0)) == NULL) {
        Py_DECREF(self);
        return NULL;
    }
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
get_ends(Packer *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(self->end_count);
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

static double
seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

enum { MOST_BUFFERS = 64, HEAR_BYTES = 1 << 16 };

typedef struct {
    struct iovec parts[MOST_BUFFERS];
    int parts_given, more, woken, failed;
    Py_ssize_t written, heard; /* heard: -1 for nothing, 0 for its end */
    char words[HEAR_BYTES];
} Talk;

/* The part of `exchange` that runs without the interpreter's lock. */
static void
talk(Talk *t, int sink, int source, int wake, double timeout)
{
    double deadline = seconds_now() + timeout;
    int at = 0;
    for (;;) {
        int writing = at < t->parts_given;
        if (!writing && t->more)
            return;
        struct pollfd ends[3] = {
            {.fd = source, .events = POLLIN}, /* poll passes over a negative one */
            {.fd = writing ? -1 : wake, .events = POLLIN},
            {.fd = writing ? sink : -1, .events = POLLOUT},
        };
        double left = deadline - seconds_now();
        int ready = poll(ends, 3, left > 0 ? (int)(left * 1000 + 0.999) : 0);
        if (ready == 0 || (ready < 0 && errno != EINTR)) {
            t->failed = ready < 0 ? errno : 0;
            return;
        }
        if (ready < 0)
            continue;
        if (ends[0].revents) {
            t->heard = read(source, t->words, HEAR_BYTES);
            t->failed = t->heard < 0 ? errno : 0;
            return;
        }
        if (ends[1].revents) {
            char drained[512];
            t->woken = read(wake, drained, sizeof drained) > 0;
            return;
        }
        ssize_t some = writev(sink, t->parts + at, t->parts_given - at);
        if (some < 0) {
            if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)
                continue;
            t->failed = errno;
            return;
        }
        t->written += some;
        while (at < t->parts_given && (size_t)some >= t->parts[at].iov_len)
            some -= (ssize_t)t->parts[at++].iov_len;
        if (at < t->parts_given) {
            t->parts[at].iov_base = (char *)t->parts[at].iov_base + some;
            t->parts[at].iov_len -= (size_t)some;
        }
    }
}

/* Write buffers, hear, be woken: all that the pump waits for, in one wait without the
 * interpreter's lock. Each time that a thread asks for the lock again, training stands still
 * for as long as it takes two threads to wake up. recorder/pipes.py says what it does. */
static PyObject *
exchange(PyObject *module, PyObject *args)
{
    (void)module;
    int sink, source, wake;
    double timeout;
    PyObject *buffers;
    Py_buffer views[MOST_BUFFERS];
    if (!PyArg_ParseTuple(args, "iiiO!d", &sink, &source, &wake, &PyList_Type, &buffers, &timeout))
        return NULL;
    Talk *t = PyMem_Malloc(sizeof(Talk));
    if (t == NULL)
        return PyErr_NoMemory();
    t->parts_given = t->woken = t->failed = 0;
    t->written = 0;
    t->heard = -1;
    t->more = PyList_GET_SIZE(buffers) > MOST_BUFFERS;
    int given = t->more ? MOST_BUFFERS : (int)PyList_GET_SIZE(buffers);
    for (; t->parts_given < given; t->parts_given++) {
        Py_buffer *view = &views[t->parts_given];
        if (PyObject_GetBuffer(PyList_GET_ITEM(buffers, t->parts_given), view, PyBUF_SIMPLE) < 0)
            break;
        t->parts[t->parts_given] = (struct iovec){view->buf, (size_t)view->len};
    }
    PyObject *result = NULL;
    if (t->parts_given == given) {
        Py_BEGIN_ALLOW_THREADS
        talk(t, sink, source, wake, timeout);
        Py_END_ALLOW_THREADS
        if (t->failed) {
            errno = t->failed;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        else {
            PyObject *heard = t->heard < 0 ? Py_NewRef(Py_None)
                                           : PyBytes_FromStringAndSize(t->words, t->heard);
            result = heard == NULL
                ? NULL
                : Py_BuildValue("(nNO)", t->written, heard, t->woken ? Py_True : Py_False);
        }
    }
    for (int i = 0; i < t->parts_given; i++)
        PyBuffer_Release(&views[i]);
    PyMem_Free(t);
    return result;
}

static PyMethodDef functions[] = {
    {"exchange", exchange, METH_VARARGS,
     "exchange(sink, source, wake, buffers, timeout) -> (written, heard, woken)"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"take", (PyCFunction)take, METH_O, "take(most) -> (count, first position, parts)"},
    {"end", (PyCFunction)packer_end, METH_O, "end(mark): note an end of another form"},
    {"take_ends", (PyCFunction)take_ends, METH_O, "take_ends(until) -> (ends, odd marks)"},
    {"arm", (PyCFunction)arm, METH_VARARGS,
     "arm(wake, finish, clock, wall_offset, wake_s, plain_final)"},
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
    {"ends", (getter)get_ends, NULL, "ends of episodes held", NULL},
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
    PyModuleDef_HEAD_INIT, "recorder._packer", "One step into columns, in C.", -1, functions,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit__packer(void)
{
    if (PyType_Ready(&PackerType) < 0)
        return NULL;
    word_terminated = PyUnicode_InternFromString("terminated");
    word_truncated = PyUnicode_InternFromString("truncated");
    word_incomplete = PyUnicode_InternFromString("incomplete");
    word_epsilon = PyUnicode_InternFromString("epsilon");
    word_seed = PyUnicode_InternFromString("seed");
    word_stage = PyUnicode_InternFromString("stage");
    if (!word_terminated || !word_truncated || !word_incomplete || !word_epsilon
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
