# Copyright 2026 The hf_lstm authors. Licensed under the Apache License, Version 2.0.
"""What a Hub refuses of the header of a README: the check behind `/api/validate-yaml` of `hub_server.py`."""

import re

import yaml
from huggingface_hub import DatasetCardData, ModelCardData
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results


# The identifiers of https://huggingface.co/docs/hub/repositories-licenses, those of single models left out.
LICENSES = """
    apache-2.0 mit openrail openrail++ bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc
    cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
    cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
    eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl
    osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr unknown other
"""
TASKS = {"feature-extraction", "fill-mask", "text-classification", "text-generation", "token-classification"}
TASKS |= {"translation"}
LANGUAGE = r"[a-z]{2,3}|multilingual|code"  # ISO 639-1 to -3
REPO_ID = r"[\w.-]+(/[\w.-]+)?"
LISTS = ("language", "tags", "datasets", "metrics")


def card_errors(content: str, repo_type: str) -> tuple[list[str], list[str]]:
    """The errors and the warnings of the content of a README."""
    block = re.match(r"\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|\Z)", content, flags=re.S)
    if block is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        header = yaml.safe_load(block[1])
    except yaml.YAMLError as error:
        return [f"the metadata is no YAML: {error}"], []
    if not isinstance(header, dict):
        return ["the metadata must be an object"], []
    if repo_type == "dataset":
        return _round_trip(DatasetCardData, header), []
    return [*_values(header), *(_round_trip(ModelCardData, header) or _model_index(header))], []


def _round_trip(data_class, header: dict) -> list[str]:
    try:
        same = data_class(**header).to_dict() == header
    except (TypeError, ValueError, KeyError) as error:
        return [f"the metadata cannot be read: {error!r}"]
    return [] if same else ["the metadata changes when it is read and written"]


def _values(header: dict) -> list[str]:
    errors, lists = [], {}
    for name in LISTS:
        values = header.get(name, [])
        lists[name] = values if isinstance(values, list) else [values]
        errors += [f'"{name}" has {each!r}, which is no text' for each in lists[name] if not isinstance(each, str)]
    errors += [f'"language" has {each!r}' for each in lists["language"] if not re.fullmatch(LANGUAGE, str(each))]
    errors += [f'"datasets" has {each!r}' for each in lists["datasets"] if not re.fullmatch(REPO_ID, str(each))]
    for name, known in (("license", LICENSES.split()), ("pipeline_tag", TASKS)):
        if name in header and header[name] not in known:
            errors.append(f'"{name}" is {header[name]!r}')
    if not isinstance(header.get("library_name", ""), str):
        errors.append('"library_name" must be a string')
    return errors


def _model_index(header: dict) -> list[str]:
    """That every result names its task, data set and metric with a value, and that nothing else is there."""
    errors = []
    for model in header.get("model-index", []):
        for i, result in enumerate(model["results"]):
            needed = {"task": ("type",), "dataset": ("type", "name"), "metrics": ()}
            errors += [f'"results[{i}].{part}" is missing' for part in needed if not result.get(part)]
            errors += [
                f'"results[{i}].{part}.{key}" is missing'
                for part, keys in needed.items()
                for key in keys
                if not result.get(part, {}).get(key)
            ]
            for metric in result.get("metrics", []):
                if not isinstance(metric.get("value"), (int, float, str)) or not metric.get("type"):
                    errors.append(f'"results[{i}].metrics" has {metric}')
    if "model-index" in header and not errors:
        name, results = model_index_to_eval_results(header["model-index"])
        if eval_results_to_model_index(name, results) != header["model-index"]:
            errors.append('"model-index" changes when it is read and written')
    return errors
