FROM python:3.11-slim AS packages
COPY requirements/runtime.txt /tmp/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/runtime.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /app app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 DJANGO_SETTINGS_MODULE=config.settings \
    VAR_DIR=/tmp STATIC_ROOT=/app/staticfiles
COPY --from=packages /venv /venv
WORKDIR /app
COPY manage.py ./
COPY accounts accounts
COPY api api
COPY config config
COPY marketplace marketplace
COPY notifications notifications
COPY locale locale
COPY payments payments
COPY resolution resolution
COPY static static
COPY templates templates
# Static files are the same in every installation; DEMO spares this step the real settings.
RUN DEMO=1 python manage.py collectstatic --no-input --verbosity 0 && rm /tmp/secret_key
USER app
EXPOSE 8000
CMD ["gunicorn", "--config", "python:config.gunicorn", "--bind", "0.0.0.0:8000"]
