/* The hot lines of recording under somebody else's training loop, in C: between two passes of a
 * network each line of Python runs cold, and costs several times what it costs in a loop.
 *
 * `Rows.note` keeps what a step left in a dict, `Heard` what a network answered.
 * recorder/python_rows.py has their twins, used where this could not be built, and says
 * what each method does. Tests hold the two against each other.
 */
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_1_23_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include "_clock.h"

enum { DUE = 1, ENDED = 2, OTHER = 4 };
enum { MOST_NAMES = 8 };
static const double SOONER = 0.2; /* of the time that rows are held, at most */

static PyObject *one, *word_observation, *word_count, *word_calls, *word_locals, *word_exchange,
    *word_state, *word_dones;

/* Rows of one array after another, all of the first one's dtype and shape. */
typedef struct {
    PyArray_Descr *descr; /* NULL before the first row */
    size_t width;    /* bytes of a row */
    PyObject *array; /* (most, *shape); NULL where there is no row */
    char *data;
    int nd; /* of a row */
    npy_intp shape[NPY_MAXDIMS]; /* last, as little of it is used: the rest is one line of the cache */
} Column;

typedef struct {
    PyObject_HEAD
    Py_ssize_t columns, count, most;
    Column *column;
    PyObject *said;  /* list, an object a row */
    PyObject *ends;  /* list: after how many rows, what was told, when */
    PyObject *clock; /* NULL: the system's */
    double seconds, due;
    double last;        /* when the last row came; 0: none did */
    double gap, before; /* longest between two rows, since `take` and in the time before it */
    int eager; /* an end is due at once */
} Rows;

/* Whether a value is an array whose memory is that of one row. */
static inline int
is_row(PyObject *value)
{
    if (!PyArray_CheckExact(value))
        return 0;
    PyArrayObject *array = (PyArrayObject *)value;
    int nd = PyArray_NDIM(array);
    return nd >= 1 && nd <= NPY_MAXDIMS && PyArray_DIM(array, 0) == 1
        && PyArray_IS_C_CONTIGUOUS(array) && PyArray_ISNOTSWAPPED(array)
        && !PyDataType_REFCHK(PyArray_DESCR(array));
}

/* Whether it is one like those before. */
static inline int
is_like(const Column *c, PyArrayObject *array)
{
    if (c->descr == NULL || c->nd != PyArray_NDIM(array) - 1)
        return 0;
    for (int i = 0; i < c->nd; i++)
        if (c->shape[i] != PyArray_DIM(array, i + 1))
            return 0;
    PyArray_Descr *descr = PyArray_DESCR(array);
    return descr == c->descr || PyArray_EquivTypes(descr, c->descr);
}

static void
define(Column *c, PyArrayObject *array)
{
    Py_CLEAR(c->array);
    Py_XSETREF(c->descr, (PyArray_Descr *)Py_NewRef(PyArray_DESCR(array)));
    c->nd = PyArray_NDIM(array) - 1;
    memcpy(c->shape, PyArray_DIMS(array) + 1, (size_t)c->nd * sizeof(npy_intp));
    c->width = (size_t)PyArray_NBYTES(array);
}

static int
make_room(Column *c, Py_ssize_t most)
{
    npy_intp shape[NPY_MAXDIMS + 1] = {most}; /* a row's array had one more dimension as well */
    memcpy(shape + 1, c->shape, (size_t)c->nd * sizeof(npy_intp));
    Py_INCREF(c->descr);
    c->array = PyArray_NewFromDescr(&PyArray_Type, c->descr, c->nd + 1, shape, NULL, NULL, 0, NULL);
    if (c->array == NULL)
        return -1;
    c->data = PyArray_BYTES((PyArrayObject *)c->array);
    return 0;
}

/* Keep a row of each: 1 kept, 0 they are others than those before, or none. */
static int
keep(Rows *self, PyObject *said, PyObject *const *values)
{
    for (Py_ssize_t i = 0; i < self->columns; i++) {
        if (!is_row(values[i]))
            return 0;
        Column *c = &self->column[i];
        PyArrayObject *array = (PyArrayObject *)values[i];
        if (!is_like(c, array)) {
            if (self->count > 0)
                return 0;
            define(c, array);
        }
        if (c->array == NULL && make_room(c, self->most) < 0)
            return -1;
    }
    if (PyList_Append(self->said, said) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        memcpy(c->data + (size_t)self->count * c->width, PyArray_BYTES((PyArrayObject *)values[i]), c->width);
    }
    self->count++;
    return 1;
}

/* What is due after `keep`, whose answer is `kept`. Rows that might wait too long for the next are
 * due before their time is over; but what came late once, by an evaluation say, is no reason to
 * hold none. */
static int
due(Rows *self, int kept, int ended)
{
    if (kept < 1)
        return kept < 0 ? -1 : OTHER;
    double now = read_clock(self->clock);
    if (now == -1.0 && PyErr_Occurred())
        return -1;
    if (self->last > 0.0 && now - self->last > self->gap)
        self->gap = now - self->last;
    self->last = now;
    double next = self->gap > self->before ? self->gap : self->before;
    if (next > self->seconds * SOONER)
        next = self->seconds * SOONER;
    int is_time = self->count >= self->most || now + next >= self->due;
    return (is_time ? DUE : 0) | (ended ? ENDED : 0);
}

static int
has_room(const Rows *self)
{
    if (self->count < self->most)
        return 0;
    PyErr_SetString(PyExc_IndexError, "there is no room; take() what is held");
    return -1;
}

static PyObject *
rows_add(Rows *self, PyObject *const *args, Py_ssize_t given)
{
    if (given != self->columns + 1) {
        PyErr_Format(PyExc_TypeError, "add() takes %zd arguments (%zd given)", self->columns + 1, given);
        return NULL;
    }
    int what = has_room(self) < 0 ? -1 : due(self, keep(self, args[0], args + 1), 0);
    return what < 0 ? NULL : PyLong_FromLong(what);
}

/* Whether the first of some flags is set. */
static int
first_of(PyObject *flags)
{
    if (PyArray_CheckExact(flags)) {
        PyArrayObject *array = (PyArrayObject *)flags;
        if (PyArray_TYPE(array) == NPY_BOOL && PyArray_NDIM(array) == 1 && PyArray_DIM(array, 0) > 0)
            return *PyArray_BYTES(array) != 0;
    }
    PyObject *first = PySequence_GetItem(flags, 0);
    if (first == NULL)
        return -1;
    int is_set = PyObject_IsTrue(first);
    Py_DECREF(first);
    return is_set;
}

static PyObject *
got(PyObject *dict, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(dict, name);
    if (value == NULL && !PyErr_Occurred())
        PyErr_SetObject(PyExc_KeyError, name);
    return value;
}

/* What `note` does: what is due, or -1 with an error set. */
static int
note(Rows *self, PyObject *said, PyObject *given, PyObject *names)
{
    if (!PyDict_Check(given) || !PyTuple_Check(names) || PyTuple_GET_SIZE(names) != self->columns + 1
        || self->columns > MOST_NAMES) {
        PyErr_SetString(PyExc_TypeError, "expected what was said, a dict, and names in it");
        return -1;
    }
    if (has_room(self) < 0)
        return -1;
    PyObject *values[MOST_NAMES];
    for (Py_ssize_t i = 0; i < self->columns; i++)
        if ((values[i] = got(given, PyTuple_GET_ITEM(names, i))) == NULL)
            return -1;
    PyObject *flags = got(given, PyTuple_GET_ITEM(names, self->columns));
    int ended = flags == NULL ? -1 : first_of(flags);
    return ended < 0 ? -1 : due(self, keep(self, said, values), ended);
}

static PyObject *
rows_note(Rows *self, PyObject *const *args, Py_ssize_t given)
{
    if (given != 3) {
        PyErr_SetString(PyExc_TypeError, "note() takes 3 arguments");
        return NULL;
    }
    int what = note(self, args[0], args[1], args[2]);
    return what < 0 ? NULL : PyLong_FromLong(what);
}

/* Note that an episode ended with the row kept last: 0, or -1 with an error set. */
static int
end(Rows *self, PyObject *told)
{
    double now = read_clock(self->clock);
    if (now == -1.0 && PyErr_Occurred())
        return -1;
    PyObject *one = Py_BuildValue("(nOd)", self->count, told, now);
    int failed = one == NULL ? -1 : PyList_Append(self->ends, one);
    Py_XDECREF(one);
    return failed;
}

static PyObject *
rows_end(Rows *self, PyObject *told)
{
    return end(self, told) < 0 ? NULL : PyLong_FromLong(self->eager ? DUE : 0);
}

/* Note the end of a callback's episode, with the info of its last step and what its model says. */
static int
end_step(Rows *self, PyObject *infos, PyObject *about, PyObject *model)
{
    PyObject *info = infos == NULL ? NULL : PySequence_GetItem(infos, 0);
    PyObject *facts = info == NULL ? NULL : PyObject_CallOneArg(about, model);
    PyObject *told = facts == NULL ? NULL : PyTuple_Pack(2, info, facts);
    int failed = told == NULL ? -1 : end(self, told);
    Py_XDECREF(info);
    Py_XDECREF(facts);
    Py_XDECREF(told);
    return failed;
}

/* What `BaseCallback.on_step` of Stable-Baselines3 does before it calls `_on_step`. */
static int
count_call(PyObject *state, PyObject *model)
{
    PyObject *calls = got(state, word_calls);
    PyObject *now = calls == NULL ? NULL : PyNumber_Add(calls, one);
    int failed = now == NULL || PyDict_SetItem(state, word_calls, now) < 0;
    Py_XDECREF(now);
    PyObject *steps = failed ? NULL : PyObject_GetAttr(model, word_count);
    failed = steps == NULL || PyDict_SetItem(state, word_count, steps) < 0;
    Py_XDECREF(steps);
    return failed ? -1 : 0;
}

static PyObject *
rows_step(Rows *self, PyObject *const *args, Py_ssize_t given)
{
    if (given != 7 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "step() takes a callback's dict and 6 arguments more");
        return NULL;
    }
    PyObject *locals = count_call(args[0], args[5]) < 0 ? NULL : got(args[0], word_locals);
    if (locals == NULL)
        return NULL;
    Py_INCREF(locals);
    PyObject *said = PyObject_CallOneArg(args[1], locals);
    int what = said == NULL ? -1 : note(self, said, locals, args[2]);
    if (what > 0 && what & ENDED) {
        what &= ~ENDED;
        if (end_step(self, got(locals, args[3]), args[4], args[5]) < 0)
            what = -1;
        else if (self->eager)
            what |= DUE;
    }
    Py_DECREF(locals);
    if (what > 0) {
        PyObject *look[] = {PyLong_FromLong(what), said};
        PyObject *looked = look[0] == NULL ? NULL : PyObject_Vectorcall(args[6], look, 2, NULL);
        Py_XDECREF(look[0]);
        Py_XDECREF(looked);
        if (looked == NULL)
            what = -1;
    }
    Py_XDECREF(said);
    return what < 0 ? NULL : Py_NewRef(Py_True);
}

static PyObject *
rows_take(Rows *self, PyObject *unused)
{
    (void)unused;
    if (self->count == 0) {
        PyErr_SetString(PyExc_IndexError, "nothing is held");
        return NULL;
    }
    double now = read_clock(self->clock);
    if (now == -1.0 && PyErr_Occurred())
        return NULL;
    PyObject *said = PyList_New(0), *ends = PyList_New(0), *arrays = PyList_New(self->columns);
    if (said == NULL || ends == NULL || arrays == NULL)
        goto failed;
    for (Py_ssize_t i = 0; i < self->columns; i++) {
        PyObject *rows = PySequence_GetSlice(self->column[i].array, 0, self->count);
        if (rows == NULL)
            goto failed;
        PyList_SET_ITEM(arrays, i, rows);
    }
    PyObject *result = PyTuple_Pack(3, self->said, arrays, self->ends);
    if (result == NULL)
        goto failed;
    for (Py_ssize_t i = 0; i < self->columns; i++)
        Py_CLEAR(self->column[i].array); /* it is the taker's */
    Py_SETREF(self->said, said);
    Py_SETREF(self->ends, ends);
    Py_DECREF(arrays);
    self->count = 0;
    self->due = now + self->seconds;
    self->before = self->gap;
    self->gap = 0.0;
    return result;
failed:
    Py_XDECREF(said);
    Py_XDECREF(ends);
    Py_XDECREF(arrays);
    return NULL;
}

static Py_ssize_t
rows_length(Rows *self)
{
    return self->count;
}

static int
rows_clear(Rows *self)
{
    for (Py_ssize_t i = 0; i < self->columns; i++) {
        Py_CLEAR(self->column[i].descr);
        Py_CLEAR(self->column[i].array);
    }
    Py_CLEAR(self->said);
    Py_CLEAR(self->ends);
    Py_CLEAR(self->clock);
    self->count = self->most = 0;
    return 0;
}

static int
rows_traverse(Rows *self, visitproc visit, void *arg)
{
    Py_VISIT(self->said);
    Py_VISIT(self->ends);
    Py_VISIT(self->clock);
    return 0;
}

static void
rows_dealloc(Rows *self)
{
    PyObject_GC_UnTrack(self);
    rows_clear(self);
    PyMem_Free(self->column);
    PyObject_GC_Del(self);
}

static PyObject *
rows_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t columns, most;
    double seconds;
    PyObject *clock = NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Rows() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "nnd|O", &columns, &most, &seconds, &clock))
        return NULL;
    if (columns < 1 || most < 1) {
        PyErr_SetString(PyExc_ValueError, "Rows() wants arrays, and room");
        return NULL;
    }
    Rows *self = (Rows *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->column = PyMem_Calloc((size_t)columns, sizeof(Column));
    self->said = PyList_New(0);
    self->ends = PyList_New(0);
    if (self->column == NULL || self->said == NULL || self->ends == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->columns = columns;
    self->most = most;
    self->seconds = seconds;
    self->clock = clock == NULL ? NULL : kept_clock(clock);
    return (PyObject *)self;
}

static PyMethodDef rows_methods[] = {
    {"add", (PyCFunction)(void (*)(void))rows_add, METH_FASTCALL, "add(said, *arrays) -> what is due"},
    {"note", (PyCFunction)(void (*)(void))rows_note, METH_FASTCALL, "note(said, given, names) -> what is due"},
    {"step", (PyCFunction)(void (*)(void))rows_step, METH_FASTCALL, "step(state, take, names, infos, about, model, look) -> True"},
    {"end", (PyCFunction)rows_end, METH_O, "end(told) -> what is due"},
    {"take", (PyCFunction)rows_take, METH_NOARGS, "take() -> (said, arrays, ends)"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef rows_members[] = {
    {"eager", T_INT, offsetof(Rows, eager), 0, "whether an end is due at once"},
    {NULL, 0, 0, 0, NULL},
};

static PySequenceMethods rows_as_sequence = {.sq_length = (lenfunc)rows_length};

static PyTypeObject RowsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "recorder._rows.Rows",
    .tp_doc = "Rows of several arrays, kept one by one.",
    .tp_basicsize = sizeof(Rows),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = rows_new,
    .tp_dealloc = (destructor)rows_dealloc,
    .tp_traverse = (traverseproc)rows_traverse,
    .tp_clear = (inquiry)rows_clear,
    .tp_methods = rows_methods,
    .tp_members = rows_members,
    .tp_as_sequence = &rows_as_sequence,
};

/* A tensor as DLPack has it, and the table of functions by which its library shows one without a
 * call of Python's: <https://dmlc.github.io/dlpack/latest/c_api.html>, version 1.3. */
typedef struct {
    void *data;
    struct { int32_t type, id; } device;
    int32_t ndim;
    struct { uint8_t code, bits; uint16_t lanes; } dtype;
    int64_t *shape, *strides; /* strides in numbers; NULL: C order */
    uint64_t byte_offset;
} Tensor;

typedef struct Exchange {
    struct { uint32_t major, minor; } version;
    struct Exchange *previous;
    void *allocator, *to_managed, *from_managed;
    int (*show)(void *object, Tensor *tensor); /* 0, or -1 with an error set; may be NULL */
    void *stream;
} Exchange;

enum { DLPACK_MAJOR = 1, DLPACK_CPU = 1, DLPACK_FLOAT = 2 };

/* The table of the type asked for last: there is hardly ever another. */
static PyTypeObject *shown_type;
static const Exchange *shown_by;

static const Exchange *
exchange_of(PyTypeObject *type)
{
    if (type == shown_type)
        return shown_by;
    const Exchange *found = NULL;
    PyObject *capsule = PyObject_GetAttr((PyObject *)type, word_exchange);
    if (capsule != NULL && PyCapsule_IsValid(capsule, "dlpack_exchange_api"))
        found = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    PyErr_Clear(); /* most types have none */
    Py_XDECREF(capsule);
    while (found != NULL && found->version.major != DLPACK_MAJOR)
        found = found->previous;
    Py_XSETREF(shown_type, (PyTypeObject *)Py_NewRef(type));
    shown_by = found != NULL && found->show != NULL ? found : NULL;
    return shown_by;
}

/* An answer's numbers as bytes, where they are float32 in this process's memory and their library
 * shows them; else the answer. Right behind the network's own work the code for it is warm: a step
 * later it takes several times as long, and to hold tensors means cold memory for those to come. */
static PyObject *
numbers_of(PyObject *answer)
{
    Tensor tensor;
    const Exchange *exchange = exchange_of(Py_TYPE(answer));
    if (exchange == NULL)
        return Py_NewRef(answer);
    if (exchange->show(answer, &tensor) != 0) {
        PyErr_Clear();
        return Py_NewRef(answer);
    }
    int64_t count = 1;
    int fits = tensor.device.type == DLPACK_CPU && tensor.dtype.code == DLPACK_FLOAT
        && tensor.dtype.bits == 32 && tensor.dtype.lanes == 1;
    for (int i = tensor.ndim - 1; fits && i >= 0; i--) {
        fits = tensor.strides == NULL || tensor.shape[i] == 1 || tensor.strides[i] == count;
        count *= tensor.shape[i];
    }
    if (!fits || tensor.data == NULL)
        return Py_NewRef(answer);
    const char *data = (const char *)tensor.data + tensor.byte_offset;
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)(count * 4));
}

/* Whether a value is an array of so many rows of machine numbers of one type. */
static int
is_table(PyObject *value, int type, int nd, Py_ssize_t rows)
{
    if (!PyArray_CheckExact(value))
        return 0;
    PyArrayObject *array = (PyArrayObject *)value;
    return PyArray_TYPE(array) == type && PyArray_NDIM(array) == nd && PyArray_DIM(array, 0) == rows
        && PyArray_ISCARRAY(array);
}

static PyObject *
fill_rows(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    Py_ssize_t count = given == 3 && PyList_Check(args[0]) ? PyList_GET_SIZE(args[0]) : -1;
    if (count < 0 || !is_table(args[1], NPY_FLOAT32, 2, count) || !is_table(args[2], NPY_BOOL, 1, count)) {
        PyErr_SetString(PyExc_TypeError, "fill_rows() takes a list, and arrays of as many rows");
        return NULL;
    }
    Py_ssize_t n = PyArray_DIM((PyArrayObject *)args[1], 1), size = n * (Py_ssize_t)sizeof(float);
    float *row = (float *)PyArray_DATA((PyArrayObject *)args[1]);
    npy_bool *missing = (npy_bool *)PyArray_DATA((PyArrayObject *)args[2]);
    PyObject *others = PyList_New(0);
    for (Py_ssize_t i = 0; others != NULL && i < count; i++, row += n) {
        PyObject *answer = PyList_GET_ITEM(args[0], i);
        missing[i] = answer == Py_None;
        if (missing[i])
            for (Py_ssize_t k = 0; k < n; k++)
                row[k] = (float)Py_NAN;
        else if (PyBytes_CheckExact(answer) && PyBytes_GET_SIZE(answer) == size)
            memcpy(row, PyBytes_AS_STRING(answer), (size_t)size);
        else {
            PyObject *place = PyLong_FromSsize_t(i);
            if (place == NULL || PyList_Append(others, place) < 0)
                Py_CLEAR(others);
            Py_XDECREF(place);
        }
    }
    return others;
}

/* What was answered at a step count, its numbers as a rule, and the observation that stood then. */
typedef struct {
    long long at;
    PyObject *observation, *answer;
} Answer;

typedef struct {
    PyObject_HEAD
    PyObject *forward, *model;
    PyObject *state; /* the model's dict, or NULL */
    PyObject *hooks; /* a dict, or NULL: what may change an answer before it is used */
    long long steps; /* by which the step count grows at a step */
    int listening;
    Answer newest, before; /* of two step counts */
} Heard;

static void
forget(Answer *answer)
{
    Py_CLEAR(answer->observation);
    Py_CLEAR(answer->answer);
}

/* An attribute of the model's: nearly always its own, which is had at once. A new reference. */
static PyObject *
of_model(const Heard *self, PyObject *name)
{
    PyObject *value = self->state == NULL ? NULL : PyDict_GetItemWithError(self->state, name);
    if (value != NULL)
        return Py_NewRef(value);
    return PyErr_Occurred() ? NULL : PyObject_GetAttr(self->model, name);
}

/* The model's step count, -1 with an error set where it has none; its last observation. */
static long long
where(const Heard *self, PyObject **observation)
{
    PyObject *count = of_model(self, word_count);
    if (count == NULL)
        return -1;
    long long at = PyLong_AsLongLong(count);
    Py_DECREF(count);
    if (at == -1 && PyErr_Occurred())
        return -1;
    *observation = of_model(self, word_observation);
    return *observation == NULL ? -1 : at;
}

static PyObject *
heard_call(Heard *self, PyObject *args, PyObject *kwargs)
{
    if (self->forward == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Heard was not made whole");
        return NULL;
    }
    PyObject *answer = PyObject_Call(self->forward, args, kwargs);
    if (answer == NULL || !self->listening)
        return answer;
    PyObject *observation = NULL, *numbers = NULL;
    long long at = where(self, &observation);
    int is_final = self->hooks == NULL || PyDict_GET_SIZE(self->hooks) == 0;
    if (observation == NULL || (numbers = is_final ? numbers_of(answer) : Py_NewRef(answer)) == NULL) {
        Py_XDECREF(observation);
        Py_DECREF(answer);
        return NULL;
    }
    if (self->newest.answer != NULL && self->newest.at != at) {
        Answer gone = self->before;
        self->before = self->newest;
        self->newest = (Answer){0};
        forget(&gone);
    }
    Answer gone = self->newest;
    self->newest = (Answer){at, observation, numbers};
    forget(&gone);
    return answer;
}

static void
forget_all(Heard *self)
{
    Answer newest = self->newest, before = self->before;
    self->newest = self->before = (Answer){0};
    forget(&newest);
    forget(&before);
}

static PyObject *
heard_take(Heard *self, PyObject *unused)
{
    (void)unused;
    PyObject *observation = NULL, *answer = Py_None;
    long long at = self->newest.answer == NULL ? -1 : where(self, &observation);
    if (PyErr_Occurred())
        return NULL;
    long long asked = at - self->steps;
    const Answer *held = &self->newest;
    if (held->answer == NULL || held->at != asked)
        held = &self->before;
    if (held->answer != NULL && held->at == asked && held->observation == observation)
        answer = held->answer;
    Py_INCREF(answer);
    if (answer != Py_None && !PyBytes_CheckExact(answer)) /* and what is asked of it may run anything */
        Py_SETREF(answer, numbers_of(answer));
    Py_XDECREF(observation);
    forget_all(self);
    return answer;
}

static PyObject *
heard_listen(Heard *self, PyObject *listening)
{
    int is_set = PyObject_IsTrue(listening);
    if (is_set < 0)
        return NULL;
    self->listening = is_set && self->model != NULL && self->model != Py_None;
    forget_all(self);
    Py_RETURN_NONE;
}

static int
heard_clear(Heard *self)
{
    Py_CLEAR(self->forward);
    Py_CLEAR(self->model);
    Py_CLEAR(self->state);
    Py_CLEAR(self->hooks);
    forget_all(self);
    return 0;
}

static int
heard_traverse(Heard *self, visitproc visit, void *arg)
{
    Py_VISIT(self->forward);
    Py_VISIT(self->model);
    Py_VISIT(self->state);
    Py_VISIT(self->hooks);
    Py_VISIT(self->newest.observation);
    Py_VISIT(self->newest.answer);
    Py_VISIT(self->before.observation);
    Py_VISIT(self->before.answer);
    return 0;
}

static void
heard_dealloc(Heard *self)
{
    PyObject_GC_UnTrack(self);
    heard_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static int
heard_init(Heard *self, PyObject *args, PyObject *kwargs)
{
    PyObject *forward, *model = Py_None, *hooks = NULL;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Heard() takes no keyword arguments");
        return -1;
    }
    self->steps = 1;
    if (!PyArg_ParseTuple(args, "O|OLO!", &forward, &model, &self->steps, &PyDict_Type, &hooks))
        return -1;
    Py_XSETREF(self->hooks, Py_XNewRef(hooks));
    Py_XSETREF(self->forward, Py_NewRef(forward));
    Py_XSETREF(self->model, Py_NewRef(model));
    PyObject *state = PyObject_GetAttr(model, word_state);
    PyErr_Clear(); /* not everything has one */
    if (state != NULL && !PyDict_CheckExact(state))
        Py_CLEAR(state);
    Py_XSETREF(self->state, state);
    return 0;
}

static PyMethodDef heard_methods[] = {
    {"take", (PyCFunction)heard_take, METH_O, "take(given) -> the answer, or None"},
    {"listen", (PyCFunction)heard_listen, METH_O, "listen(whether)"},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject HeardType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "recorder._rows.Heard",
    .tp_doc = "A network's forward whose newest answers are kept.",
    .tp_basicsize = sizeof(Heard),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)heard_init,
    .tp_dealloc = (destructor)heard_dealloc,
    .tp_traverse = (traverseproc)heard_traverse,
    .tp_clear = (inquiry)heard_clear,
    .tp_call = (ternaryfunc)heard_call,
    .tp_methods = heard_methods,
};

/* A copy of a dict with what another mapping has. */
static PyObject *
merged(PyObject *before, PyObject *more)
{
    PyObject *both = before == NULL ? NULL : PyDict_Copy(before);
    if (both != NULL && PyDict_Update(both, more) < 0)
        Py_CLEAR(both);
    return both;
}

static PyObject *
update_locals(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    (void)module;
    if (given != 2 || !PyDict_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "update_locals() takes a callback's dict and local variables");
        return NULL;
    }
    int whole = PyDict_Check(args[1]) ? PyDict_Contains(args[1], word_dones) : 0;
    if (whole < 0)
        return NULL;
    PyObject *locals = whole ? Py_NewRef(args[1]) : merged(got(args[0], word_locals), args[1]);
    int failed = locals == NULL || PyDict_SetItem(args[0], word_locals, locals) < 0;
    Py_XDECREF(locals);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"update_locals", (PyCFunction)(void (*)(void))update_locals, METH_FASTCALL, "update_locals(state, given)"},
    {"fill_rows", (PyCFunction)(void (*)(void))fill_rows, METH_FASTCALL, "fill_rows(answers, rows, missing) -> those of no row"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "recorder._rows",
    .m_doc = "The hot lines of recording under another's training loop; see recorder/rows.py.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__rows(void)
{
    import_array();
    one = PyLong_FromLong(1);
    word_observation = PyUnicode_InternFromString("_last_obs");
    word_count = PyUnicode_InternFromString("num_timesteps");
    word_calls = PyUnicode_InternFromString("n_calls");
    word_locals = PyUnicode_InternFromString("locals");
    word_exchange = PyUnicode_InternFromString("__dlpack_c_exchange_api__");
    word_state = PyUnicode_InternFromString("__dict__");
    word_dones = PyUnicode_InternFromString("dones");
    if (!one || !word_observation || !word_count || !word_calls || !word_locals || !word_exchange || !word_state
        || !word_dones)
        return NULL;
    if (PyType_Ready(&RowsType) < 0 || PyType_Ready(&HeardType) < 0)
        return NULL;
    PyObject *m = PyModule_Create(&module);
    if (m == NULL || PyModule_AddObjectRef(m, "Rows", (PyObject *)&RowsType) < 0
        || PyModule_AddObjectRef(m, "Heard", (PyObject *)&HeardType) < 0) {
        Py_XDECREF(m);
        return NULL;
    }
    return m;
}
