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
    int ndim;
    Py_ssize_t shape[8];
} Column;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Py_ssize_t count, capacity;
    long long position;
    int columns, positional, closed;
    Column *column;
    PyObject *full;     /* called with no arguments when there is no room */
    PyObject *error;    /* raised when closed: an exception instance */
} Packer;

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
        if (overflow)
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

static PyObject *
record(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Packer *self = (Packer *)object;
    Py_ssize_t given = PyVectorcall_NARGS(nargsf);
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
    /* Nothing below can fail but for want of memory: the columns stay of one length. */
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        if (c->code == 'o') {
            if (PyList_Append(c->objects, c->pending) < 0)
                return NULL;
            Py_CLEAR(c->pending);
        }
        else if (c->width == 8)
            memcpy(c->data + self->count * 8, c->scratch, 8);
        else
            memcpy(c->data + self->count * c->width, c->scratch, (size_t)c->width);
    }
    self->count++;
    self->position++;
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
            : PyBytes_FromStringAndSize(c->data, n * c->width);
        if (part == NULL) {
            Py_DECREF(parts);
            return NULL;
        }
        PyTuple_SET_ITEM(parts, i, part);
    }
    /* All parts are made: only now does anything leave the columns. */
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        if (c->code == 'o')
            PyList_SetSlice(c->objects, 0, n, NULL);
        else if (n < self->count)
            memmove(c->data, c->data + n * c->width, (size_t)((self->count - n) * c->width));
    }
    self->count -= n;
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
    if (!PyArg_ParseTuple(spec, "UsnOO!OO", &c->name, &code, &c->width, &c->dtype,
                          &PyTuple_Type, &shape, &c->coerce, &c->fallback)) {
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
    if (c->ndim > 8) {
        PyErr_SetString(PyExc_ValueError, "at most 8 dimensions");
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
    Py_CLEAR(self->full);
    Py_CLEAR(self->error);
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
    Py_VISIT(self->full);
    Py_VISIT(self->error);
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

static PyMethodDef methods[] = {
    {"take", (PyCFunction)take, METH_O, "take(most) -> (count, first position, parts)"},
    {"close", (PyCFunction)packer_close, METH_O, "close(error): raise it at each further step"},
    {NULL, NULL, 0, NULL},
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
    PyObject *self = PyModule_Create(&module);
    if (self == NULL)
        return NULL;
    if (PyModule_AddObjectRef(self, "Packer", (PyObject *)&PackerType) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}
