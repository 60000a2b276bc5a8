/* The hot lines of recording: one step into columns, in C.
 *
 * `Packer.record` is called once a step with the step's values. It writes each into its column
 * as machine numbers, so that nothing is left to convert later. What it does not take as
 * it comes (a numpy scalar, a tuple for a row) goes through the column's `coerce`, which
 * is Python and returns what it does take, or raises the typed error.
 *
 * recorder/python_packer.py is its twin in Python, used where this could not be built;
 * recorder/packer.py says what each method does. Tests hold the two against each other.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>
#include <sys/uio.h>
#include <unistd.h>
#include "_clock.h"

typedef struct {
    char code;          /* q int of 1, 2, 4 or 8 bytes, d double, ? bool, D row of doubles, a array, o object */
    Py_ssize_t width;   /* bytes of one row; 0 for objects */
    char *data;         /* rows of the block that is filled */
    Py_ssize_t before;  /* widths of the columns before it: where a block's memory has it */
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

/* What the columns of a tabular agent's steps come to, for `write_tabular`: an int for the observation
 * and one for the action, the reward, and then, if any, a row of doubles and, if any, a bool. */
typedef struct {
    double *reward; /* NULL: the columns are others */
    char *observation, *action, *flag;
    double *row;
    unsigned long long observation_high, action_high; /* what is less than 0 is above them */
    Py_ssize_t observation_width, action_width, row_length;
} Tabular;

/* The end of an episode in its common form; a final observation that is an array stands behind it,
 * with what makes both a multiple of 8. What is beyond it is a tuple among `odd`, and
 * stands here with its position and the flag ODD. Layout: `END` in recorder/marks.py. */
typedef struct {
    long long position, final, flags;
    double epsilon, started, duration; /* no epsilon: NaN */
} End;

/* The keywords of `finish`. */
enum { W_TERMINATED, W_TRUNCATED, W_INCOMPLETE, W_EPSILON, W_SEED, W_STAGE, W_TAGS, W_DURATION, WORDS };

enum { AN_INT = 1, AN_ARRAY = 2 }; /* a final observation, in its common form */
enum { TERMINATED = 1, TRUNCATED = 2, INCOMPLETE = 4, ODD = 256 };

/* What goes to the writer's process before a block: `BLOCK` in recorder/frames.py. */
typedef struct {
    unsigned long long length;
    long long position, episodes, begun, events, rows;
    double started;
    long long final_width;
} Head;

static const unsigned long long BLOCK = 1ULL << 63; /* in a head's length */

/* Memory of blocks that are done with, for those to come: it is in the cache, and mapped.
 * All of it is used under the interpreter's lock. */
typedef struct {
    Py_ssize_t users, held, most;
    char *memory[16];
} Pool;

/* Rows, column behind column, and the ends of episodes among them, all in one piece of memory
 * with room for a head before them: a full block is a message as it is. A block that is
 * full, or was sent before, is sealed. Nothing of it changes any more, so it goes without the
 * interpreter's lock. */
typedef struct Block {
    PyObject_HEAD
    Pool *pool; /* NULL: the memory is of its own size */
    char *memory;
    Py_ssize_t room, ends_at; /* so many rows each column has place for; where the ends are */
    Py_ssize_t rows, taken; /* of the rows, how many are gone from the front */
    Py_ssize_t ends, ends_taken, odd;
    long long first; /* position of row 0 */
    double started;  /* when the episode that runs behind it began, unix seconds */
    Py_ssize_t size; /* bytes as a message */
    Py_ssize_t final_width;
    PyObject *packer; /* of a block that was sent: tells where its columns are */
    struct Block *next; /* of those sealed; written once, when the block is sealed no more */
} Block;

typedef struct {
    PyObject_HEAD
    /* What each step needs stands together: much has passed through the caches since the last. */
    Py_ssize_t rows;  /* in the block that is filled */
    Py_ssize_t open;  /* so many rows it takes before `record_slowly` has to look */
    int columns, positional;
    PyObject *names;  /* the keyword names of the last call that fit the columns in order */
    long long position;
    double open_return; /* of the episode that runs */
    Column *reward;     /* the last by position, if it is a number */
    Tabular tabular;
    Py_ssize_t room;  /* of a block, in rows */
    Py_ssize_t sealed_rows, limit; /* rows that wait in sealed blocks; most that may wait */
    Py_ssize_t width; /* bytes of a step */
    Py_ssize_t final_width, end_size; /* bytes of a final observation behind an end; of both */
    Block *current, *sealed, *last; /* the sealed ones are a list */
    Pool *pool;
    int plain; /* no column holds objects: full blocks can be sent as they are */
    int taking; /* rows are being copied out of the open block, which stays what it is meanwhile */
    int wake_fd, closed;
    Column *column;
    PyObject *full;     /* called with no arguments when there is no room */
    PyObject *error;    /* raised when closed: an exception instance */
    /* Of the episode that runs, and of the one that ended last. */
    long long ended, episode;
    double started, woken;
    PyObject *odd; /* marks that are not common, of all blocks */
    /* What `finish` needs; see `arm`. */
    PyObject *finish;
    PyObject *finish_names; /* the keyword names of its last call that has no others, */
    int word_at[WORDS];     /* and where each word stands among them; -1 where it does not */
    PyObject *clock; /* NULL: the system's */
    double wall_offset, wake_s;
    int plain_final;
} Packer;

enum { BLOCK_ROWS = 16384, BLOCK_BYTES = 1 << 20, POOL_BYTES = 32 << 20 };

static PyObject *words[WORDS]; /* interned */

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

/* Write a list of so many floats: 1 written, 0 it is something else. */
static inline int
put_row(double *to, Py_ssize_t n, PyObject *value)
{
    if (!PyList_CheckExact(value) || PyList_GET_SIZE(value) != n)
        return 0;
    PyObject **items = ((PyListObject *)value)->ob_item;
    for (Py_ssize_t i = 0; i < n; i++) {
        if (!PyFloat_CheckExact(items[i]))
            return 0;
        to[i] = PyFloat_AS_DOUBLE(items[i]);
    }
    return 1;
}

static inline Py_ssize_t
row_length(const Column *c)
{
    return c->width / (Py_ssize_t)sizeof(double);
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
        return put_row((double *)c->scratch, row_length(c), value) || write_array(c, value);
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
    case 'D':
        return put_row((double *)(c->data + at * c->width), row_length(c), value);
    }
    return 0;
}

/* `write_fast` for all columns of a tabular agent's step. The same in one line: a loop over columns
 * that asks for each what it is takes three times as long where it runs once a step, as its
 * branches go another way each time and little of it has stayed in the caches. */
static inline int
write_tabular(const Tabular *t, PyObject *const *args, Py_ssize_t at)
{
    long long observation, action;
    PyObject *const *channel = args + 3;
    if (!PyLong_CheckExact(args[0]) || !small_int(args[0], &observation)
        || (unsigned long long)observation > t->observation_high || !PyLong_CheckExact(args[1])
        || !small_int(args[1], &action) || (unsigned long long)action > t->action_high || !PyFloat_CheckExact(args[2]))
        return 0;
    if (t->row != NULL && !put_row(t->row + at * t->row_length, t->row_length, *channel++))
        return 0;
    if (t->flag != NULL) {
        if (*channel != Py_True && *channel != Py_False)
            return 0;
        t->flag[at] = *channel == Py_True;
    }
    put_int(t->observation + at * t->observation_width, t->observation_width, observation);
    put_int(t->action + at * t->action_width, t->action_width, action);
    t->reward[at] = PyFloat_AS_DOUBLE(args[2]);
    return 1;
}

static inline int
write_columns(const Packer *self, PyObject *const *args, Py_ssize_t at)
{
    int i = 0;
    while (i < self->columns && write_fast(&self->column[i], args[i], at))
        i++;
    return i == self->columns;
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

static void
leave_pool(Pool *pool)
{
    if (pool == NULL || --pool->users > 0)
        return;
    while (pool->held)
        free(pool->memory[--pool->held]);
    PyMem_Free(pool);
}

static void
block_dealloc(Block *block)
{
    Pool *pool = block->pool;
    if (pool != NULL && pool->held < pool->most)
        pool->memory[pool->held++] = block->memory;
    else
        free(block->memory);
    leave_pool(pool);
    Py_XDECREF(block->packer);
    PyObject_Free(block);
}

static int
block_buffer(Block *block, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *)block, block->memory, block->size, 1, flags);
}

/* Where a block's memory holds a column. */
static inline char *
column_of(const Block *block, const Column *c)
{
    return block->memory + sizeof(Head) + c->before * block->room;
}

static PyObject *
block_parts(Block *block, PyObject *unused)
{
    (void)unused;
    Packer *packer = (Packer *)block->packer;
    PyObject *whole = PyMemoryView_FromObject((PyObject *)block);
    PyObject *parts = whole == NULL ? NULL : PyTuple_New(packer->columns);
    for (int i = 0; parts != NULL && i < packer->columns; i++) {
        const Column *c = &packer->column[i];
        Py_ssize_t at = column_of(block, c) - block->memory;
        PyObject *part = PySequence_GetSlice(whole, at, at + block->rows * c->width);
        if (part == NULL)
            Py_CLEAR(parts);
        else
            PyTuple_SET_ITEM(parts, i, part);
    }
    Py_XDECREF(whole);
    return parts;
}

static PyObject *
block_ends(Block *block, PyObject *unused)
{
    (void)unused;
    PyObject *whole = PyMemoryView_FromObject((PyObject *)block);
    PyObject *ends = whole == NULL ? NULL : PySequence_GetSlice(whole, block->ends_at, block->size);
    Py_XDECREF(whole);
    return ends;
}

static PyMethodDef block_methods[] = {
    {"parts", (PyCFunction)block_parts, METH_NOARGS, "parts() -> a memoryview for each column"},
    {"ends", (PyCFunction)block_ends, METH_NOARGS, "ends() -> a memoryview, as `Marks` takes it"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef block_members[] = {
    {"first", T_LONGLONG, offsetof(Block, first), READONLY, "position of its first row"},
    {"rows", T_PYSSIZET, offsetof(Block, rows), READONLY, "steps in it"},
    {"final_width", T_PYSSIZET, offsetof(Block, final_width), READONLY, "bytes behind each end"},
    {NULL, 0, 0, 0, NULL},
};

static PyBufferProcs block_as_buffer = {.bf_getbuffer = (getbufferproc)block_buffer};

static PyTypeObject BlockType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "recorder._packer.Block",
    .tp_doc = "A block that was sent; its bytes are the message.",
    .tp_basicsize = sizeof(Block),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)block_dealloc,
    .tp_as_buffer = &block_as_buffer,
    .tp_methods = block_methods,
    .tp_members = block_members,
};

/* Where a block's memory holds one of its ends. */
static inline End *
end_of(const Packer *self, const Block *block, Py_ssize_t index)
{
    return (End *)(block->memory + block->ends_at + index * self->end_size);
}

/* Rows of the open block and of the sealed ones that are not taken yet. */
static inline Py_ssize_t
held(const Packer *self)
{
    return self->sealed_rows + self->rows - self->current->taken;
}

/* Say how far the open block can be filled without looking again. */
static inline void
set_open(Packer *self)
{
    Py_ssize_t left = self->limit - held(self);
    Py_ssize_t open = self->rows + (left > 0 ? left : 0);
    self->open = self->closed ? 0 : open < self->room ? open : self->room;
}

static inline void
say(const Packer *self, char what)
{
    /* A pipe that is full wakes as well. */
    if (self->wake_fd >= 0 && write(self->wake_fd, &what, 1) < 0)
        errno = 0;
}

/* Have `write_tabular` write where the columns are now, if it is right for them. */
static void
set_tabular(Packer *self)
{
    const Column *c = self->column;
    Tabular t = {0};
    int n = self->columns, at = 3;
    if (self->positional == 3 && n >= 3 && c[0].code == 'q' && c[1].code == 'q' && c[2].code == 'd') {
        if (at < n && c[at].code == 'D') {
            t.row = (double *)c[at].data;
            t.row_length = row_length(&c[at++]);
        }
        if (at < n && c[at].code == '?')
            t.flag = c[at++].data;
        if (at == n) {
            t.reward = (double *)c[2].data;
            t.observation = c[0].data;
            t.observation_width = c[0].width;
            t.observation_high = (unsigned long long)c[0].high;
            t.action = c[1].data;
            t.action_width = c[1].width;
            t.action_high = (unsigned long long)c[1].high;
        }
    }
    self->tabular = t;
}

/* Return an empty block of no memory, for so many rows. */
static Block *
new_block(const Packer *self, Py_ssize_t room)
{
    Block *block = PyObject_New(Block, &BlockType);
    if (block == NULL)
        return NULL;
    memset((char *)block + sizeof(PyObject), 0, sizeof *block - sizeof(PyObject));
    block->room = room;
    block->ends_at = (Py_ssize_t)sizeof(Head) + self->width * room;
    block->final_width = self->final_width;
    return block;
}

/* Most bytes that a block of the packer's room takes. */
static inline Py_ssize_t
memory_size(const Packer *self)
{
    return (Py_ssize_t)sizeof(Head) + self->width * self->room + (self->room + 2) * self->end_size;
}

/* Have each end stand with room for an array of so many bytes behind it. */
static void
set_final_width(Packer *self, Py_ssize_t width)
{
    self->final_width = width;
    self->end_size = (Py_ssize_t)sizeof(End) + ((width + 7) & ~(Py_ssize_t)7);
    Py_ssize_t slots = (Py_ssize_t)(sizeof self->pool->memory / sizeof *self->pool->memory);
    Py_ssize_t most = POOL_BYTES / memory_size(self);
    self->pool->most = most < 2 ? 2 : most > slots ? slots : most;
}

/* Put an empty block where rows are written from now on. */
static int
open_block(Packer *self)
{
    Block *block = new_block(self, self->room);
    if (block == NULL)
        return -1;
    Pool *pool = self->pool;
    block->memory = pool->held ? pool->memory[--pool->held] : malloc((size_t)memory_size(self));
    if (block->memory == NULL) {
        Py_DECREF(block);
        PyErr_NoMemory();
        return -1;
    }
    block->pool = pool;
    pool->users++;
    block->first = self->position;
    self->current = block;
    self->rows = 0;
    for (int i = 0; i < self->columns; i++)
        self->column[i].data = column_of(block, &self->column[i]);
    set_tabular(self);
    return 0;
}

/* Put a block that changes no more behind the sealed ones. */
static void
add_sealed(Packer *self, Block *block)
{
    block->started = self->wall_offset + self->started;
    block->size = block->ends_at + block->ends * self->end_size;
    self->sealed_rows += block->rows - block->taken;
    /* Whoever reads the list without the lock sees all of a block or nothing. */
    __atomic_store_n(self->sealed == NULL ? &self->sealed : &self->last->next, block, __ATOMIC_RELEASE);
    self->last = block;
    say(self, 'b');
}

/* Close the block that is full, and open another. */
static int
seal(Packer *self)
{
    Block *full = self->current;
    full->rows = self->rows;
    if (open_block(self) < 0)
        return -1;
    add_sealed(self, full);
    return 0;
}

/* Have what is held go now: a copy, so that the same memory, still in the cache, is filled again. */
static PyObject *
packer_send(Packer *self, PyObject *unused)
{
    (void)unused;
    Block *open = self->current;
    if (!self->plain || self->rows == 0 || self->taking || open->taken || open->ends_taken || open->odd) {
        say(self, 'e'); /* and it is taken */
        Py_RETURN_NONE;
    }
    /* So that each column begins where a double may. */
    Block *block = new_block(self, (self->rows + 7) & ~(Py_ssize_t)7);
    if (block == NULL)
        return NULL;
    Py_ssize_t ends_size = open->ends * self->end_size;
    block->memory = calloc(1, (size_t)(block->ends_at + ends_size));
    if (block->memory == NULL) {
        Py_DECREF(block);
        return PyErr_NoMemory();
    }
    for (int i = 0; i < self->columns; i++) {
        const Column *c = &self->column[i];
        memcpy(column_of(block, c), c->data, (size_t)(self->rows * c->width));
    }
    memcpy(block->memory + block->ends_at, open->memory + open->ends_at, (size_t)ends_size);
    block->first = open->first;
    block->rows = self->rows;
    block->ends = open->ends;
    open->first = self->position;
    open->ends = self->rows = 0;
    add_sealed(self, block);
    set_open(self);
    Py_RETURN_NONE;
}

/* Take the first sealed block off the list and return it; the caller has the reference. */
static Block *
unseal(Packer *self)
{
    Block *block = self->sealed;
    self->sealed = block->next;
    block->next = NULL;
    self->sealed_rows -= block->rows - block->taken;
    return block;
}

/* Wait until there is room for a step, and have a block open that takes it: 0, or -1 with an
 * error set. */
static int
make_room(Packer *self)
{
    while (held(self) >= self->limit) {
        PyObject *go_on = PyObject_CallNoArgs(self->full);
        if (go_on == NULL)
            return -1;
        Py_DECREF(go_on);
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
    if (self->closed) { /* before, or by another thread or a signal's handler meanwhile */
        PyErr_SetObject((PyObject *)Py_TYPE(self->error), self->error);
        return -1;
    }
    if (self->rows == self->room && seal(self) < 0)
        return -1;
    set_open(self);
    return 0;
}

static PyObject *record_slowly(Packer *self, PyObject *const *args, Py_ssize_t given, PyObject *names);

/* A method, and not the packer's own call: the interpreter has an instruction for those. */
static PyObject *
record(Packer *self, PyObject *const *args, Py_ssize_t given, PyObject *names)
{
    Py_ssize_t at = self->rows;

    /* Behind the last position by name come the values by keyword, in `args` too. */
    if (given == self->positional && at < self->open && in_order(self, names)) {
        int is_tabular = self->tabular.reward != NULL;
        if (is_tabular ? write_tabular(&self->tabular, args, at) : write_columns(self, args, at)) {
            self->rows = at + 1;
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
    if (make_room(self) < 0)
        return NULL;
    Py_ssize_t at = self->rows;
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
    self->rows++;
    self->position++;
    return recorded(self, self->reward == NULL ? NULL : args[given - 1]);
}

/* Copy rows [from, to) of whole columns behind those of the open block, which has room. */
static int
copy_rows(Packer *self, const Py_buffer *views, PyObject *parts, Py_ssize_t from, Py_ssize_t to)
{
    /* First what makes an object: that may run anything, a thread that takes rows too. */
    for (int i = 0; i < self->columns; i++) {
        Column *c = &self->column[i];
        if (c->code != 'o')
            continue;
        PyObject *some = PyList_GetSlice(PyTuple_GET_ITEM(parts, i), from, to);
        Py_ssize_t end = PyList_GET_SIZE(c->objects);
        int failed = some == NULL || PyList_SetSlice(c->objects, end, end, some) < 0;
        Py_XDECREF(some);
        if (failed)
            return -1;
    }
    for (int i = 0; i < self->columns; i++) {
        const Column *c = &self->column[i];
        if (c->code != 'o')
            memcpy(c->data + self->rows * c->width, (char *)views[i].buf + from * c->width,
                   (size_t)((to - from) * c->width));
    }
    if (self->reward != NULL) {
        const double *rewards = (const double *)self->reward->data + self->rows;
        for (Py_ssize_t i = 0; i < to - from; i++)
            self->open_return += rewards[i];
    }
    self->rows += to - from;
    self->position += to - from;
    return 0;
}

/* Record rows of whole columns, given as `take` returns them. */
static PyObject *
extend(Packer *self, PyObject *args)
{
    PyObject *parts;
    Py_ssize_t from, to;
    if (!PyArg_ParseTuple(args, "O!nn", &PyTuple_Type, &parts, &from, &to))
        return NULL;
    if (PyTuple_GET_SIZE(parts) != self->columns || from < 0 || to < from) {
        PyErr_Format(PyExc_ValueError, "expected %d columns and rows [start, stop) of them",
                     self->columns);
        return NULL;
    }
    Py_buffer *views = PyMem_Calloc((size_t)self->columns + 1, sizeof(Py_buffer));
    if (views == NULL)
        return PyErr_NoMemory();
    int failed = 0;
    for (int i = 0; i < self->columns && !failed; i++) {
        const Column *c = &self->column[i];
        PyObject *part = PyTuple_GET_ITEM(parts, i);
        int fits;
        if (c->code == 'o')
            fits = PyList_CheckExact(part) && PyList_GET_SIZE(part) >= to;
        else if (PyObject_GetBuffer(part, &views[i], PyBUF_SIMPLE) < 0) {
            failed = 1;
            break;
        }
        else
            fits = c->width == 0 || views[i].len / c->width >= to;
        if (!fits) {
            PyErr_Format(PyExc_ValueError, "expected %zd rows of %U", to, c->name);
            failed = 1;
        }
    }
    while (!failed && from < to) {
        if ((failed = make_room(self) < 0))
            break;
        Py_ssize_t room = self->open - self->rows, some = to - from < room ? to - from : room;
        failed = copy_rows(self, views, parts, from, from + some) < 0;
        from += some;
    }
    for (int i = 0; i < self->columns; i++)
        if (views[i].obj != NULL)
            PyBuffer_Release(&views[i]);
    PyMem_Free(views);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

/* Return where the next end goes. There is room: each has a step of its own behind the one
 * before, but the first, whose steps may all have been taken. */
static inline End *
next_end(Packer *self)
{
    if (self->current->ends < self->room + 2)
        return end_of(self, self->current, self->current->ends);
    PyErr_SetString(PyExc_ValueError, "more ends than steps");
    return NULL;
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
    memset(end, 0, (size_t)self->end_size);
    *end = (End){.position = position, .flags = ODD};
    self->current->ends++;
    self->current->odd++;
    Py_RETURN_NONE;
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

/* Find the keywords of a call of `finish`: whether there are no others. Calls from one place in the
 * code bring the same tuple each time, for which this is done once. */
static int
find_words(Packer *self, PyObject *names)
{
    Py_ssize_t n = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    int word_at[WORDS];
    for (int word = 0; word < WORDS; word++)
        word_at[word] = -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        int word = 0;
        while (word < WORDS && words[word] != PyTuple_GET_ITEM(names, i))
            word++;
        if (word == WORDS)
            return 0;
        word_at[word] = 1 + (int)i; /* behind the final observation */
    }
    memcpy(self->word_at, word_at, sizeof word_at);
    Py_XSETREF(self->finish_names, Py_XNewRef(names));
    return 1;
}

/* What a call of `finish` gave by that word; NULL if it did not. */
static inline PyObject *
given_word(const Packer *self, int word, PyObject *const *args)
{
    return self->word_at[word] < 0 ? NULL : args[self->word_at[word]];
}

static inline int
is_absent(const Packer *self, int word, PyObject *const *args)
{
    PyObject *value = given_word(self, word, args);
    return value == NULL || value == Py_None;
}

static inline int
has_no_tags(const Packer *self, PyObject *const *args)
{
    PyObject *value = given_word(self, W_TAGS, args);
    return value == NULL || (PyTuple_CheckExact(value) && PyTuple_GET_SIZE(value) == 0);
}

/* Whether a float was given, which is then read, or nothing. */
static inline int
read_number(const Packer *self, int word, PyObject *const *args, double *number)
{
    PyObject *value = given_word(self, word, args);
    if (value == NULL || value == Py_None)
        return 1;
    if (!PyFloat_CheckExact(value))
        return 0;
    *number = PyFloat_AS_DOUBLE(value);
    return 1;
}

/* The end of an episode in its common form: an int64 as final observation or an array like the
 * first column's, flags, `epsilon` as a float, no seed, no stage and no tags. Everything else is
 * done by `finish_episode` in Python, which this returns the result of. */
static PyObject *
finish(Packer *self, PyObject *const *args, Py_ssize_t given, PyObject *names)
{
    double epsilon = Py_NAN, duration = Py_NAN;
    long long flags = 0, final = 0;
    int common = self->finish != NULL && !self->closed && given == 1;

    common = common && (names == self->finish_names || find_words(self, names))
        && is_absent(self, W_SEED, args) && is_absent(self, W_STAGE, args) && has_no_tags(self, args)
        && read_number(self, W_EPSILON, args, &epsilon) && read_number(self, W_DURATION, args, &duration)
        && (is_absent(self, W_DURATION, args) || (isfinite(duration) && duration >= 0));
    if (common) {
        /* All are found before the first is asked whether it holds, which may run anything: this too. */
        PyObject *flag[] = {
            given_word(self, W_TERMINATED, args),
            given_word(self, W_TRUNCATED, args),
            given_word(self, W_INCOMPLETE, args),
        };
        for (int i = 0; i < 3; i++) {
            /* Environments return bools of numpy too. */
            int holds = flag[i] == NULL || flag[i] == Py_False ? 0 : flag[i] == Py_True ? 1 : PyObject_IsTrue(flag[i]);
            if (holds < 0)
                return NULL;
            flags |= holds << i;
        }
    }
    common = common && self->position > self->ended;
    if (common && self->plain_final == AN_INT)
        common = as_int64(args[0], &final);
    else if (common)
        common = self->plain_final == AN_ARRAY && write_array(&self->column[0], args[0]);
    if (!common) {
        if (self->finish == NULL) {
            PyErr_SetString(PyExc_RuntimeError, "the packer is not armed");
            return NULL;
        }
        return PyObject_Vectorcall(self->finish, args, (size_t)given, names);
    }
    double now = read_clock(self->clock);
    if (now == -1.0 && PyErr_Occurred())
        return NULL;
    if (isnan(duration))
        duration = now - self->started;
    if (!flags)
        flags = INCOMPLETE;
    End *end = next_end(self);
    if (end == NULL)
        return NULL;
    *end = (End){
        .position = self->position,
        .final = final,
        .flags = flags,
        .epsilon = epsilon,
        .started = self->wall_offset + self->started,
        .duration = duration,
    };
    if (self->final_width) /* what `write_array` took */
        memcpy(end + 1, self->column[0].scratch, (size_t)self->final_width);
    self->current->ends++;
    self->ended = self->position;
    self->open_return = 0.0;
    self->started = now;
    if (now - self->woken > self->wake_s) {
        self->woken = now;
        say(self, 'e');
    }
    return PyLong_FromLongLong(self->episode++);
}

/* Have ends take arrays like the first column's along. */
static int
make_room_for_finals(Packer *self)
{
    Py_ssize_t width = self->columns ? self->column[0].width : 0;
    if (width == self->final_width)
        return 0;
    if (self->position || self->current->ends) {
        PyErr_SetString(PyExc_ValueError, "arm() comes before the first step");
        return -1;
    }
    Block *block = self->current;
    set_final_width(self, width);
    if (open_block(self) < 0) {
        set_final_width(self, 0);
        return -1;
    }
    self->pool->users--; /* its memory is none of the new size */
    block->pool = NULL;
    Py_DECREF(block);
    set_open(self);
    return 0;
}

static PyObject *
arm(Packer *self, PyObject *args)
{
    PyObject *finish_slowly, *clock;
    if (!PyArg_ParseTuple(args, "iOOddi", &self->wake_fd, &finish_slowly, &clock,
                          &self->wall_offset, &self->wake_s, &self->plain_final))
        return NULL;
    if (self->plain_final == AN_ARRAY && make_room_for_finals(self) < 0)
        return NULL;
    Py_XSETREF(self->finish, Py_NewRef(finish_slowly));
    Py_XSETREF(self->clock, kept_clock(clock));
    Py_RETURN_NONE;
}

/* Of a block, how many of its ends lie up to a position, and of them the odd ones. */
static Py_ssize_t
ends_until(const Packer *self, const Block *block, long long until, Py_ssize_t *odd)
{
    Py_ssize_t at = block->ends_taken;
    *odd = 0;
    for (const End *end; at < block->ends && (end = end_of(self, block, at))->position <= until; at++)
        *odd += (end->flags & ODD) != 0;
    return at - block->ends_taken;
}

static PyObject *
take_rows(Packer *self, Py_ssize_t most)
{
    Block *block = self->sealed != NULL ? self->sealed : self->current;
    Py_ssize_t left = (self->sealed != NULL ? block->rows : self->rows) - block->taken;
    Py_ssize_t n = left < most ? left : most, odd;
    long long first = block->first + block->taken;
    Py_ssize_t ended = ends_until(self, block, first + n, &odd);
    PyObject *ends = PyBytes_FromStringAndSize(
        (char *)end_of(self, block, block->ends_taken), ended * self->end_size);
    PyObject *marks = PyList_GetSlice(self->odd, 0, odd);
    PyObject *parts = PyTuple_New(self->columns);
    int failed = ends == NULL || marks == NULL || parts == NULL;
    for (int i = 0; i < self->columns && !failed; i++) {
        Column *c = &self->column[i];
        PyObject *part = c->code == 'o'
            ? PyList_GetSlice(c->objects, 0, n)
            : PyBytes_FromStringAndSize(column_of(block, c) + block->taken * c->width, n * c->width);
        failed = part == NULL;
        PyTuple_SET_ITEM(parts, i, part);
    }
    if (failed) {
        Py_XDECREF(ends);
        Py_XDECREF(marks);
        Py_XDECREF(parts);
        return NULL;
    }
    /* All parts are made: only now does anything leave the columns. */
    for (int i = 0; i < self->columns; i++)
        if (self->column[i].code == 'o')
            PyList_SetSlice(self->column[i].objects, 0, n, NULL);
    PyList_SetSlice(self->odd, 0, odd, NULL);
    block->taken += n;
    block->ends_taken += ended;
    block->odd -= odd;
    /* What was made above may have collected garbage, which may have run anything: the training
     * thread too, which may have filled the block further, or up. */
    int sealed = block != self->current;
    int empty = block->taken == (sealed ? block->rows : self->rows) && block->ends_taken == block->ends;
    if (sealed) {
        self->sealed_rows -= n;
        if (empty)
            Py_DECREF(unseal(self));
    }
    else if (empty) { /* the same memory, still in the cache, is filled again */
        block->taken = block->ends = block->ends_taken = self->rows = 0;
        block->first = self->position;
    }
    set_open(self);
    return Py_BuildValue("(nLNNN)", n, first, parts, ends, marks);
}

static PyObject *
take(Packer *self, PyObject *most_object)
{
    Py_ssize_t most = PyLong_AsSsize_t(most_object);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    if (self->taking) {
        PyErr_SetString(PyExc_RuntimeError, "take() is at work");
        return NULL;
    }
    /* What is made below may collect garbage, which may run anything, the training thread too. */
    self->taking = 1;
    PyObject *taken = take_rows(self, most);
    self->taking = 0;
    return taken;
}

/* Wake the pump, and go on: a call of Python's that writes would let go of the interpreter's lock,
 * and whoever is woken had it before it came back. */
static PyObject *
hurry(Packer *self, PyObject *unused)
{
    (void)unused;
    say(self, 'e');
    Py_RETURN_NONE;
}

static PyObject *
packer_close(Packer *self, PyObject *error)
{
    Py_XSETREF(self->error, Py_NewRef(error));
    self->closed = 1;
    self->open = 0;
    Py_RETURN_NONE;
}

static int
make_column(Column *c, PyObject *spec)
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
    c->scratch = PyMem_Malloc((size_t)(c->width ? c->width : 1));
    if (c->scratch == NULL) {
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
    Py_CLEAR(self->finish_names);
    Py_CLEAR(self->full);
    Py_CLEAR(self->error);
    Py_CLEAR(self->odd);
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
    Py_VISIT(self->finish_names);
    Py_VISIT(self->full);
    Py_VISIT(self->error);
    Py_VISIT(self->odd);
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
        PyMem_Free(c->scratch);
        Py_CLEAR(c->name);
        Py_CLEAR(c->dtype);
    }
    PyMem_Free(self->column);
    while (self->sealed != NULL)
        Py_DECREF(unseal(self));
    Py_XDECREF(self->current);
    leave_pool(self->pool);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *
packer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *specs, *full;
    int positional;
    Py_ssize_t limit;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Packer() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!inO", &PyTuple_Type, &specs, &positional, &limit, &full))
        return NULL;
    if (limit < 1) {
        PyErr_SetString(PyExc_ValueError, "at least one step is held");
        return NULL;
    }
    Packer *self = (Packer *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->limit = limit;
    self->positional = positional;
    self->plain = 1;
    self->wake_fd = -1;
    self->full = Py_NewRef(full);
    Py_ssize_t n = PyTuple_GET_SIZE(specs);
    find_words(self, NULL);
    if ((self->odd = PyList_New(0)) == NULL
        || (self->pool = PyMem_Calloc(1, sizeof(Pool))) == NULL
        || (self->column = PyMem_Calloc((size_t)n + 1, sizeof(Column))) == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->pool->users = 1;
    for (Py_ssize_t i = 0; i < n; i++) {
        self->columns = (int)i + 1;
        if (make_column(&self->column[i], PyTuple_GET_ITEM(specs, i)) < 0) {
            Py_DECREF(self);
            return NULL;
        }
        self->column[i].before = self->width;
        self->width += self->column[i].width;
        self->plain &= self->column[i].code != 'o';
    }
    /* A multiple of 8, so that each column begins where a double may. */
    self->room = self->width ? BLOCK_BYTES / self->width & ~7 : BLOCK_ROWS;
    self->room = self->room < 8 ? 8 : self->room > BLOCK_ROWS ? BLOCK_ROWS : self->room;
    set_final_width(self, 0);
    if (open_block(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    set_open(self);
    if (positional > 0 && positional <= n && self->column[positional - 1].code == 'd')
        self->reward = &self->column[positional - 1];
    return (PyObject *)self;
}

static PyObject *
get_count(Packer *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(held(self));
}

static PyObject *
get_ends(Packer *self, void *unused)
{
    (void)unused;
    Py_ssize_t ends = self->current->ends - self->current->ends_taken;
    for (const Block *block = self->sealed; block != NULL; block = block->next)
        ends += block->ends - block->ends_taken;
    return PyLong_FromSsize_t(ends);
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
    /* By hand: what reads a format takes twice the time, and loops ask once an episode. */
    PyObject *pair = PyTuple_New(2);
    PyObject *length = PyLong_FromLongLong(self->position - self->ended);
    PyObject *sum = PyFloat_FromDouble(self->open_return);
    if (pair == NULL || length == NULL || sum == NULL) {
        Py_XDECREF(pair);
        Py_XDECREF(length);
        Py_XDECREF(sum);
        return NULL;
    }
    PyTuple_SET_ITEM(pair, 0, length);
    PyTuple_SET_ITEM(pair, 1, sum);
    return pair;
}

enum { MOST_BUFFERS = 64, HEAR_BYTES = 1 << 16 };

typedef struct {
    struct iovec parts[MOST_BUFFERS];
    int parts_given, more, woken, failed, heard_end;
    Py_ssize_t written, heard;
    char words[HEAR_BYTES];
    /* Of `carry`: */
    Packer *packer;      /* or NULL */
    int eager, prompt;   /* return for an episode's end; return for what is heard */
    Head place;          /* where the next block goes */
    Block *block;        /* the last that was begun; NULL for none */
    int blocks;          /* how many were begun */
    Py_ssize_t block_written;
} Talk;

/* Write to a pipe that does not block what it takes. Returns the bytes, or -1 and sets errno. */
static ssize_t
write_some(int sink, const struct iovec *parts, int count)
{
    ssize_t some = writev(sink, parts, count);
    if (some < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    return some;
}

/* Begin with the next sealed block, if there is one: 1; if it cannot be sent as it is: -1. */
static int
next_block(Talk *t)
{
    Block *block = __atomic_load_n(t->block == NULL ? &t->packer->sealed : &t->block->next, __ATOMIC_ACQUIRE);
    if (block == NULL)
        return 0;
    if (block->taken || block->odd || !t->packer->plain)
        return -1;
    Head *head = (Head *)block->memory;
    *head = t->place;
    head->length = BLOCK | (unsigned long long)(block->size - (Py_ssize_t)sizeof head->length);
    head->position = block->first;
    head->rows = block->rows;
    head->started = block->started;
    head->final_width = block->final_width;
    t->place.episodes += block->ends;
    if (block->ends)
        t->place.begun = end_of(t->packer, block, block->ends - 1)->position;
    t->block = block;
    t->block_written = 0;
    t->blocks++;
    return 1;
}

/* Empty the pipe that wakes. Said were an episode's end ('e'), a full block ('b'), or that
 * somebody waits: whether to return for it. */
static int
is_asked(const Talk *t, int wake)
{
    char said[512];
    ssize_t count = read(wake, said, sizeof said);
    if (t->packer == NULL)
        return count > 0;
    for (ssize_t i = 0; i < count; i++)
        if (said[i] != 'b' && (said[i] != 'e' || t->eager))
            return 1;
    return 0;
}

/* The part that runs without the interpreter's lock. */
static void
talk(Talk *t, int sink, int source, int wake, double timeout)
{
    double deadline = monotonic() + timeout;
    int at = 0;
    for (;;) {
        int writing = at < t->parts_given;
        if (!writing && t->more)
            return;
        int carrying = t->block != NULL && t->block_written < t->block->size;
        double left = deadline - monotonic();
        if (!writing && !carrying && t->packer != NULL && left > 0) {
            struct pollfd asked = {.fd = wake, .events = POLLIN};
            int found = poll(&asked, 1, 0) > 0 && is_asked(t, wake) ? -1 : next_block(t);
            if (found < 0) {
                t->woken = 1;
                return;
            }
            carrying = found;
        }
        struct pollfd ends[3] = {
            {.fd = source, .events = POLLIN}, /* poll passes over a negative one */
            {.fd = writing || carrying ? -1 : wake, .events = POLLIN},
            {.fd = writing || carrying ? sink : -1, .events = POLLOUT},
        };
        int ready = poll(ends, 3, left > 0 ? (int)(left * 1000 + 0.999) : 0);
        if (ready == 0 || (ready < 0 && errno != EINTR)) {
            t->failed = ready < 0 ? errno : 0;
            return;
        }
        if (ready < 0)
            continue;
        if (ends[0].revents) {
            ssize_t got = read(source, t->words + t->heard, (size_t)(HEAR_BYTES - t->heard));
            if (got < 0) {
                t->failed = errno;
                return;
            }
            t->heard += got;
            t->heard_end = got == 0;
            if (got == 0 || t->prompt || t->heard == HEAR_BYTES)
                return;
        }
        if (ends[1].revents && is_asked(t, wake)) {
            t->woken = 1;
            return;
        }
        if (ends[2].revents && writing) {
            ssize_t some = write_some(sink, t->parts + at, t->parts_given - at);
            if (some < 0) {
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
        else if (ends[2].revents) {
            struct iovec rest = {t->block->memory + t->block_written, (size_t)(t->block->size - t->block_written)};
            ssize_t some = write_some(sink, &rest, 1);
            if (some < 0) {
                t->failed = errno;
                return;
            }
            t->block_written += some;
        }
    }
}

/* Talk, the buffers of a list first: 0, or -1 with an error set. */
static int
talk_with(Talk *t, int sink, int source, int wake, PyObject *buffers, double timeout)
{
    Py_buffer views[MOST_BUFFERS];
    t->more = PyList_GET_SIZE(buffers) > MOST_BUFFERS;
    int given = t->more ? MOST_BUFFERS : (int)PyList_GET_SIZE(buffers);
    for (; t->parts_given < given; t->parts_given++) {
        Py_buffer *view = &views[t->parts_given];
        if (PyObject_GetBuffer(PyList_GET_ITEM(buffers, t->parts_given), view, PyBUF_SIMPLE) < 0)
            break;
        t->parts[t->parts_given] = (struct iovec){view->buf, (size_t)view->len};
    }
    int held_all = t->parts_given == given;
    if (held_all) {
        Py_BEGIN_ALLOW_THREADS
        talk(t, sink, source, wake, timeout);
        Py_END_ALLOW_THREADS
    }
    for (int i = 0; i < t->parts_given; i++)
        PyBuffer_Release(&views[i]);
    return held_all ? 0 : -1;
}

static Talk *
new_talk(void)
{
    Talk *t = PyMem_Malloc(sizeof(Talk));
    if (t == NULL)
        return (Talk *)PyErr_NoMemory();
    memset(t, 0, offsetof(Talk, words));
    memset(&t->packer, 0, sizeof(Talk) - offsetof(Talk, packer));
    t->prompt = 1;
    return t;
}

static PyObject *
what_was_heard(const Talk *t)
{
    if (!t->heard && !t->heard_end)
        return Py_NewRef(Py_None);
    return PyBytes_FromStringAndSize(t->words, t->heard);
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
    PyObject *buffers, *result = NULL, *heard;
    if (!PyArg_ParseTuple(args, "iiiO!d", &sink, &source, &wake, &PyList_Type, &buffers, &timeout))
        return NULL;
    Talk *t = new_talk();
    if (t == NULL)
        return NULL;
    if (talk_with(t, sink, source, wake, buffers, timeout) == 0) {
        if (t->failed) {
            errno = t->failed;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        else if ((heard = what_was_heard(t)) != NULL)
            result = Py_BuildValue("(nNO)", t->written, heard, t->woken ? Py_True : Py_False);
    }
    PyMem_Free(t);
    return result;
}

/* Take the blocks that were begun off the list. */
static PyObject *
blocks_begun(Packer *self, int count)
{
    PyObject *blocks = PyList_New(count);
    for (int i = 0; blocks != NULL && i < count; i++) {
        Block *block = unseal(self);
        block->packer = Py_NewRef((PyObject *)self);
        PyList_SET_ITEM(blocks, i, (PyObject *)block);
    }
    set_open(self);
    return blocks;
}

/* `exchange`, and behind the buffers the blocks that are full, as they become so: while training
 * runs fast, its steps go to the writer and nobody needs the lock. */
static PyObject *
carry(Packer *self, PyObject *args)
{
    int sink, source, wake, eager, prompt;
    double timeout;
    PyObject *buffers, *result = NULL;
    Head place = {0};
    if (!PyArg_ParseTuple(args, "iiiO!d(LLLL)pp", &sink, &source, &wake, &PyList_Type, &buffers,
                          &timeout, &place.position, &place.episodes, &place.begun, &place.events,
                          &eager, &prompt))
        return NULL;
    Talk *t = new_talk();
    if (t == NULL)
        return NULL;
    t->packer = self;
    t->eager = eager;
    t->prompt = prompt;
    t->place = place;
    if (talk_with(t, sink, source, wake, buffers, timeout) == 0) {
        Py_ssize_t left = t->block == NULL ? 0 : t->block->size - t->block_written;
        PyObject *blocks = blocks_begun(self, t->blocks);
        PyObject *heard = blocks == NULL ? NULL : what_was_heard(t);
        if (heard == NULL)
            Py_XDECREF(blocks);
        else
            result = Py_BuildValue("(nNONni)", t->written, heard, t->woken ? Py_True : Py_False,
                                   blocks, left, t->failed);
    }
    PyMem_Free(t);
    return result;
}

static PyMethodDef functions[] = {
    {"exchange", exchange, METH_VARARGS,
     "exchange(sink, source, wake, buffers, timeout) -> (written, heard, woken)"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef methods[] = {
    {"record", (PyCFunction)(void (*)(void))record, METH_FASTCALL | METH_KEYWORDS,
     "See EpisodeRecorder.record_step."},
    {"extend", (PyCFunction)extend, METH_VARARGS,
     "extend(parts, start, stop): record rows of whole columns, given as `take` returns them"},
    {"take", (PyCFunction)take, METH_O, "take(most) -> (count, first, parts, ends, odd marks)"},
    {"carry", (PyCFunction)carry, METH_VARARGS,
     "carry(sink, source, wake, buffers, timeout, place, eager, prompt)\n"
     "-> (written, heard, woken, blocks, left, error)"},
    {"end", (PyCFunction)packer_end, METH_O, "end(mark): note an end of another form"},
    {"arm", (PyCFunction)arm, METH_VARARGS,
     "arm(wake_fd, finish, clock, wall_offset, wake_s, plain_final)"},
    {"finish", (PyCFunction)(void (*)(void))finish, METH_FASTCALL | METH_KEYWORDS,
     "See EpisodeRecorder.finish_episode."},
    {"open_episode", (PyCFunction)open_episode, METH_NOARGS, "open_episode() -> (length, return)"},
    {"hurry", (PyCFunction)hurry, METH_NOARGS, "hurry(): say that episodes ended"},
    {"send", (PyCFunction)packer_send, METH_NOARGS, "send(): have what is held go as a block, now"},
    {"close", (PyCFunction)packer_close, METH_O, "close(error): raise it at each further step"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"ended", T_LONGLONG, offsetof(Packer, ended), 0, "position of the last episode's end"},
    {"episode", T_LONGLONG, offsetof(Packer, episode), 0, "number of the episode that runs"},
    {"open_return", T_DOUBLE, offsetof(Packer, open_return), 0, "its sum of rewards so far"},
    {"started", T_DOUBLE, offsetof(Packer, started), 0, "when it began, on the clock"},
    {"wake_s", T_DOUBLE, offsetof(Packer, wake_s), 0, "seconds between two ends that wake it"},
    {"final_width", T_PYSSIZET, offsetof(Packer, final_width), READONLY, "bytes of a final observation in an end"},
    {"block_steps", T_PYSSIZET, offsetof(Packer, room), READONLY, "steps in a full block"},
    {"wake_fd", T_INT, offsetof(Packer, wake_fd), 0, "says when there is work; -1 for none"},
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
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
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
    if (PyType_Ready(&PackerType) < 0 || PyType_Ready(&BlockType) < 0)
        return NULL;
    static const char *const named[WORDS] = {
        "terminated", "truncated", "incomplete", "epsilon", "seed", "stage", "tags", "duration_s",
    };
    for (int word = 0; word < WORDS; word++)
        if ((words[word] = PyUnicode_InternFromString(named[word])) == NULL)
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
